/* brood: a family that misbehaves in one way, for tests and benchmarks. Not installed.
 *
 *   brood wait N      N children that only wait; says "ready", waits
 *   brood deep N      a chain of N descendants, each the parent of the next
 *   brood chain N     N chains of processes that fork their successor and end, as fast as they can
 *   brood bomb N      every process forks until there are about N, and again as they die
 *   brood memory MIB  touches MIB of memory in four children together, waits
 *   brood burn N      N children that burn the processor
 *   brood keeper      SIGKILLs its parent (the keeper), having left a child in a session of its own
 *   brood stopkeeper  SIGSTOPs its parent, waits */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

static void
wait_for_ever (void)
{
  for (;;)
    pause ();
}

static void
say_ready (void)
{
  (void) !write (STDOUT_FILENO, "ready\n", 6);
}

static void
brood_wait (long n)
{
  for (long i = 0; i < n; i++)
    if (fork () == 0)
      wait_for_ever ();
  say_ready ();
}

static void
brood_deep (long n)
{
  for (long i = 0; i < n; i++)
    if (fork () != 0)
      wait_for_ever ();
  say_ready ();
}

static void
brood_chain (long n)
{
  for (long i = 0; i < n; i++)
    if (fork () == 0)
      for (;;)
        if (fork () > 0)
          _exit (0);
  say_ready ();
}

static void
brood_bomb (long n)
{
  int *count = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (fork () == 0) {
    (void) setsid ();
    for (;;) {
      if (__atomic_load_n (count, __ATOMIC_RELAXED) < n && fork () == 0)
        __atomic_add_fetch (count, 1, __ATOMIC_RELAXED);
      else if (__atomic_load_n (count, __ATOMIC_RELAXED) >= n)
        (void) usleep (1000);
    }
  }
  while (__atomic_load_n (count, __ATOMIC_RELAXED) < n)
    (void) usleep (1000);
  say_ready ();
}

static void
brood_memory (long mib)
{
  say_ready ();
  for (int i = 0; i < 4; i++)
    if (fork () == 0) {
      const size_t size = (size_t) mib * 1024 * 1024 / 4;
      char *block = malloc (size);
      for (size_t at = 0; block != NULL && at < size; at += 4096)
        ((volatile char *) block)[at] = 1;
      wait_for_ever ();
    }
}

static void
brood_burn (long n)
{
  for (long i = 0; i < n; i++)
    if (fork () == 0)
      for (volatile long spin = 0;; spin++)
        ;
  say_ready ();
}

static void
brood_keeper (long n)
{
  (void) n;
  int up[2];
  char byte;
  if (pipe (up) != 0)
    exit (1);
  if (fork () == 0) {
    (void) setsid ();
    if (fork () == 0)
      (void) !write (up[1], "x", 1);
    wait_for_ever ();
  }
  (void) !read (up[0], &byte, 1);
  say_ready ();
  (void) kill (getppid (), SIGKILL);
}

static void
brood_stopkeeper (long n)
{
  (void) n;
  (void) kill (getppid (), SIGSTOP);
  say_ready ();
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *name;
    void (*run) (long n);
  } modes[] = {
    { "wait", brood_wait },     { "deep", brood_deep },
    { "chain", brood_chain },   { "bomb", brood_bomb },
    { "memory", brood_memory }, { "burn", brood_burn },
    { "keeper", brood_keeper }, { "stopkeeper", brood_stopkeeper },
  };
  const long n = argc > 2 ? strtol (argv[2], NULL, 10) : 0;
  for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
    if (strcmp (argv[1], modes[i].name) == 0) {
      modes[i].run (n);
      wait_for_ever ();
    }
  (void) fputs ("brood: no such mode\n", stderr);
  return 2;
}
