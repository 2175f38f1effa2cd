/* bench/kill: how long families take to start and to end, in each kill domain that this machine
 * offers, beside plain posix_spawn + kill + waitpid in the same run.
 *
 *   bench-kill [ROUNDS] [BROOD] [CASE] [DOMAIN]     BROOD: the program tests/e2e/brood; CASE,
 * DOMAIN: only those whose name contains it */
#include "os/domain.h"
#include "os/family.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_NS (20 * GT_NSEC_PER_SEC)

extern char **environ;

typedef struct {
  const char *name;
  double *us;
  guint n;
} Series;

static int
compare (const void *a, const void *b)
{
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static void
print_series (const char *what, Series *s)
{
  if (s->n == 0)
    return;
  qsort (s->us, s->n, sizeof *s->us, compare);
  printf ("%-26s %-14s n=%-5u p50 %9.0f us   p99 %9.0f us   max %9.0f us\n", what, s->name, s->n,
          s->us[s->n / 2], s->us[s->n * 99 / 100], s->us[s->n - 1]);
  fflush (stdout);
}

static double
us_since (GtInstant start)
{
  return (double) gt_instant_until (start, gt_instant_now ()) / 1e3;
}

static gboolean
wait_for (GtFamily *family, GtFamilyState state)
{
  GtInstant until = gt_instant_add (gt_instant_now (), LIMIT_NS);
  while (gt_family_poll (family) != state) {
    struct pollfd p = { .fd = gt_family_fd (family), .events = POLLIN };
    if (poll (&p, 1, gt_instant_poll_ms (until)) <= 0)
      return FALSE;
  }
  return TRUE;
}

/* Starts `argv` with its output on a pipe and waits for its first line. */
static GtFamily *
start_ready (GtDomain domain, const char *const *argv)
{
  int out[2];
  char line[16];
  if (pipe (out) != 0)
    return NULL;
  const GtFdMap fds[] = { { out[1], STDOUT_FILENO } };
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = argv;
  spec.domain = domain;
  spec.fds = fds;
  spec.n_fds = 1;
  GtFamily *family = gt_family_spawn (&spec, NULL);
  close (out[1]);
  if (family != NULL)
    (void) !read (out[0], line, sizeof line);
  close (out[0]);
  return family;
}

static void
bench_kill (GtDomain domain, guint rounds, const char *const *argv, const char *what)
{
  Series s = { gt_domain_name (domain), g_new (double, rounds), 0 };
  for (guint i = 0; i < rounds; i++) {
    GtFamily *family = start_ready (domain, argv);
    if (family == NULL)
      break;
    GtInstant start = gt_instant_now ();
    gt_family_kill (family);
    if (!wait_for (family, GT_FAMILY_GONE))
      printf ("%s %s: not gone in 20 s\n", what, s.name);
    s.us[s.n++] = us_since (start);
    gt_family_free (family);
  }
  print_series (what, &s);
  g_free (s.us);
}

static void
bench_start (GtDomain domain, guint rounds)
{
  static const char *const argv[] = { "true", NULL };
  Series s = { gt_domain_name (domain), g_new (double, rounds), 0 };
  for (guint i = 0; i < rounds; i++) {
    GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
    spec.argv = argv;
    spec.domain = domain;
    GtInstant start = gt_instant_now ();
    GtFamily *family = gt_family_spawn (&spec, NULL);
    if (family == NULL || !wait_for (family, GT_FAMILY_GONE))
      break;
    s.us[s.n++] = us_since (start);
    gt_family_free (family);
  }
  print_series ("true, start to reaped", &s);
  g_free (s.us);
}

static void
bench_plain (guint rounds, const char *brood)
{
  Series start = { "posix_spawn", g_new (double, rounds), 0 };
  Series end = { "posix_spawn", g_new (double, rounds), 0 };
  char *argv[] = { (char *) "true", NULL }, *waiting[] = { (char *) brood, (char *) "wait", NULL };
  for (guint i = 0; i < rounds; i++) {
    pid_t pid;
    GtInstant t = gt_instant_now ();
    if (posix_spawnp (&pid, "true", NULL, NULL, argv, environ) != 0)
      break;
    waitpid (pid, NULL, 0);
    start.us[start.n++] = us_since (t);
    int out[2];
    char line[16];
    posix_spawn_file_actions_t actions;
    if (pipe (out) != 0)
      break;
    posix_spawn_file_actions_init (&actions);
    posix_spawn_file_actions_adddup2 (&actions, out[1], STDOUT_FILENO);
    if (posix_spawn (&pid, brood, &actions, NULL, waiting, environ) != 0)
      break;
    (void) !read (out[0], line, sizeof line);
    t = gt_instant_now ();
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    end.us[end.n++] = us_since (t);
    close (out[0]);
    close (out[1]);
    posix_spawn_file_actions_destroy (&actions);
  }
  print_series ("true, start to reaped", &start);
  print_series ("kill to reaped, 1", &end);
  g_free (start.us);
  g_free (end.us);
}

int
main (int argc, char **argv)
{
  const guint rounds = argc > 1 ? (guint) strtoul (argv[1], NULL, 10) : 200;
  const char *brood = argc > 2 ? argv[2] : "build/tests/e2e/brood";
  const char *only_case = argc > 3 ? argv[3] : "", *only_domain = argc > 4 ? argv[4] : "";
  const struct {
    const char *what, *mode, *n;
    guint rounds;
  } cases[] = {
    { "kill to reaped, 1", "wait", "0", rounds },
    { "kill to reaped, 1+10", "wait", "10", rounds },
    { "kill to reaped, 1+1000", "wait", "1000", MAX (rounds / 20, 3) },
    { "kill to reaped, 1000 deep", "deep", "1000", MAX (rounds / 20, 3) },
    { "kill to reaped, 8 chains", "chain", "8", MAX (rounds / 20, 3) },
    { "kill to reaped, bomb of 300", "bomb", "300", MAX (rounds / 20, 3) },
  };
  if (*only_case == '\0')
    bench_plain (rounds, brood);
  for (int d = 0; d < GT_N_DOMAINS && *only_case == '\0'; d++)
    bench_start ((GtDomain) d, rounds);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int d = 0; d < GT_DOMAIN_PGROUP; d++) {
      const char *const family[] = { brood, cases[i].mode, cases[i].n, NULL };
      if (strstr (cases[i].what, only_case) != NULL
          && strstr (gt_domain_name ((GtDomain) d), only_domain) != NULL
          && gt_domain_probe ((GtDomain) d, NULL))
        bench_kill ((GtDomain) d, cases[i].rounds, family, cases[i].what);
    }
  return 0;
}
