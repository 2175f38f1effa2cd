/* Starts a program: clone with CLONE_PIDFD and execve, nothing in between but system calls. Safe in
 * a process with any number of threads, and as fast in one of many gigabytes (the child borrows our
 * memory until it executes). For gilotine-init; commands are started as families (os/family.h). */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* `source` (stays the caller's) becomes `target` in the program. */
typedef struct {
  int source;
  int target;
} GtFdMap;

gboolean gt_fd_map_has_target (const GtFdMap *fds, gsize n_fds, int fd);

typedef struct {
  const char *path;
  char *const *argv;
  char *const *env;
  const char *cwd;    /* NULL = ours */
  const GtFdMap *fds; /* all that stays open; 0, 1, 2 are /dev/null unless mapped */
  gsize n_fds;
  gboolean keep_closed; /* ... and not even open when this is set */
  guint64 clone_flags;  /* CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWNS or none. In a user namespace the
                           caller's user and group keep their numbers. */
  gboolean new_session;
  gboolean new_group;
  gboolean fresh_proc; /* with CLONE_NEWPID and CLONE_NEWNS: mounts a /proc of the new namespace */
} GtSpawn;

typedef struct {
  pid_t pid;           /* as seen by the caller */
  int pidfd;           /* the caller closes it and reaps the child by it */
  gboolean fresh_proc; /* it was asked for and could be mounted */
} GtSpawned;

/* All signals of the program are at default and blocked (it unblocks what it wants), so that none
 * is lost or deadly before it is ready. FALSE and `error`: GT_OS_ERROR_SYSTEM, or UNAVAILABLE when
 * namespaces were asked for and refused. */
gboolean gt_spawn (const GtSpawn *spawn, GtSpawned *spawned, GError **error);
