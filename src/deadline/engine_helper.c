/* The helper thread: whatever takes milliseconds. It starts executors, and removes what they leave:
 * their folders, and the memory of their families. */
#include "deadline/engine_private.h"

#include "executor/tempdir.h"
#include "os/error.h"
#include "os/sweep.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXECUTOR_SOCKET 3
#define TEMP_MARK       "{temp}"
#define TEMP_KIND       "executor"
#define LAST_WAIT_NS    (250 * GT_NSEC_PER_MSEC)

void
gt_engine_errand (GtEngine *engine, const GtErrand *errand)
{
  GtErrand *copy = g_memdup2 (errand, sizeof *errand);
  pthread_mutex_lock (&engine->errand_lock);
  g_queue_push_tail (&engine->errands, copy);
  pthread_cond_signal (&engine->errand_came);
  pthread_mutex_unlock (&engine->errand_lock);
}

static GtErrand *
next_errand (GtEngine *engine)
{
  pthread_mutex_lock (&engine->errand_lock);
  while (engine->errands.length == 0)
    pthread_cond_wait (&engine->errand_came, &engine->errand_lock);
  GtErrand *errand = g_queue_pop_head (&engine->errands);
  pthread_mutex_unlock (&engine->errand_lock);
  return errand;
}

/* What its library spilled, and half-written files elsewhere that are noted in it. */
static void
remove_temp (const char *path)
{
  g_autoptr (GError) error = NULL;
  if (!gt_temp_dir_empty (path, &error))
    g_warning ("%s", error->message);
  gt_sweep_remove_tree (path);
}

/* Folders of engines that were killed, before gt_sweep_folder() would remove them with the notes
 * that are in them. */
static void
sweep (const char *temp_root)
{
  GDir *folder = g_dir_open (temp_root, 0, NULL);
  for (const char *name; folder != NULL && (name = g_dir_read_name (folder)) != NULL;) {
    g_autofree char *path = g_build_filename (temp_root, name, NULL);
    struct stat st;
    if (gt_sweep_is_stale (name) && lstat (path, &st) == 0 && S_ISDIR (st.st_mode)
        && st.st_uid == geteuid ())
      (void) gt_temp_dir_empty (path, NULL);
  }
  if (folder != NULL)
    g_dir_close (folder);
  gt_sweep_folder (temp_root);
}

/* "--temp-dir={temp}" names the executor's own folder. */
static char **
with_temp (const char *const *argv, const char *temp)
{
  g_autoptr (GPtrArray) out = g_ptr_array_new ();
  for (; *argv != NULL; argv++) {
    g_auto (GStrv) parts = g_strsplit (*argv, TEMP_MARK, -1);
    g_ptr_array_add (out, g_strjoinv (temp, parts));
  }
  g_ptr_array_add (out, NULL);
  return (char **) g_ptr_array_steal (out, NULL);
}

static char **
environment (const GtEngine *engine, const char *temp)
{
  char **env = g_strdupv ((char **) engine->options.env);
  env = g_environ_setenv (env, "GILOTINE_TEMP", temp, TRUE);
  return g_environ_setenv (env, "TMPDIR", temp, TRUE);
}

static gboolean
make_socket (GtLink *link, int *theirs, GError **error)
{
  int pair[2];
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return gt_os_fail (error, errno, "socketpair");
  link->socket = pair[0]; /* read and written with MSG_DONTWAIT: theirs stays a blocking one */
  *theirs = pair[1];
  return TRUE;
}

static gboolean
start_family (GtLink *link, int theirs, GError **error)
{
  const GtEngineOptions *options = &link->engine->options;
  g_auto (GStrv) argv = with_temp (options->argv, link->temp);
  g_auto (GStrv) env = environment (link->engine, link->temp);
  const GtFdMap fds[] = { { theirs, EXECUTOR_SOCKET }, { STDERR_FILENO, STDERR_FILENO } };
  const GtRlimit no_core = { RLIMIT_CORE, { 0, 0 } }; /* writing one would delay the death */
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.argv = (const char *const *) argv;
  spec.env = (const char *const *) env;
  spec.fds = fds;
  spec.n_fds = options->quiet ? 1 : 2;
  spec.domain = options->domain;
  spec.purpose = GT_PURPOSE_CONTAIN;
  spec.limits = options->limits;
  spec.rlimits = &no_core;
  spec.n_rlimits = 1;
  link->family = gt_family_start (&spec, error);
  return link->family != NULL;
}

static void
start (GtLink *link)
{
  int theirs = -1;
  g_autoptr (GError) error = NULL;
  link->temp = gt_sweep_make_dir (link->engine->options.temp_root, TEMP_KIND, &error);
  gboolean ok = link->temp != NULL && make_socket (link, &theirs, &error)
                && start_family (link, theirs, &error);
  if (theirs >= 0)
    close (theirs);
  if (!ok)
    link->problem = g_strdup (error->message);
  gt_engine_order (link->engine, &(GtOrder){ .kind = GT_ORDER_STARTED, .link = link });
}

/* An executor that does not die is left to its keeper, folder and all: waiting would be for ever.
 * What is lost then is the family's memory; the next engine's sweep removes the folder. */
static void
part (GtLink *link)
{
  gboolean gone
      = link->family == NULL || gt_family_state (link->family) == GT_FAMILY_FAILED
        || gt_family_end (link->family, gt_instant_add (gt_instant_now (), LAST_WAIT_NS), NULL);
  if (gone) {
    gt_family_free (link->family);
    if (link->temp != NULL)
      remove_temp (link->temp);
  }
  gt_link_free (link);
}

/* The link is there: its parting is an errand after this one. */
static void
weigh (const GtLink *link, guint64 job)
{
  GtOrder order = { .kind = GT_ORDER_WEIGHED, .id = job, .bytes = gt_link_weigh (link) };
  gt_engine_order (link->engine, &order);
}

gpointer
gt_engine_helper_main (gpointer data)
{
  GtEngine *engine = data;
  sweep (engine->options.temp_root);
  for (gboolean quit = FALSE; !quit;) {
    GtErrand *errand = next_errand (engine);
    switch (errand->kind) {
    case GT_ERRAND_START:
      start (errand->link);
      break;
    case GT_ERRAND_WEIGH:
      weigh (errand->link, errand->job);
      break;
    case GT_ERRAND_PART:
      part (errand->link);
      break;
    case GT_ERRAND_QUIT:
      quit = TRUE;
      break;
    }
    g_free (errand);
  }
  return NULL;
}
