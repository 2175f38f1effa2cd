/* A family: a command under gilotine-init, owned and ended as a whole.
 *
 * Whatever the command starts, also by setsid or double fork, belongs to it. The family ends when
 * gt_family_end() is called or when this process dies, by SIGKILL too: gilotine-init holds the read
 * end of a pipe whose only write end is here.
 *
 * Not thread-safe; a family belongs to the thread that spawned it. */
#pragma once

#include "os/clock.h"

#include <sys/types.h>

typedef struct GtFamily GtFamily;

typedef struct {
  const char *const *argv; /* NULL-terminated; NULL = no command, the family only holds */
  const char *const *env;  /* NULL-terminated "NAME=VALUE"; NULL = ours */
  const char *cwd;         /* NULL = ours */
  const char *remove_dir;  /* removed when the family is gone; NULL = nothing */
  int output_fd;           /* standard output and error; -1 = /dev/null. Stays the caller's. */
  gboolean linger;         /* the command's end does not end what it left running */
} GtFamilySpec;

/* Starts it and waits until the command was executed (bounded by 30 s). Standard input is
 * /dev/null. NULL and `error` when the command cannot be executed. */
GtFamily *gt_family_spawn (const GtFamilySpec *spec, GError **error);

/* Pid of gilotine-init, the family's root and reaper, and of the command (0 without one). Outer
 * numbers, for /proc reads only; signals go through gt_family_end(). */
pid_t gt_family_root_pid (const GtFamily *family);
pid_t gt_family_command_pid (const GtFamily *family);

/* Readable when there is news of the command; then call gt_family_poll(). Stays the family's. */
int gt_family_fd (const GtFamily *family);

/* Reads news without blocking. TRUE once the command has ended; then `wait_status` (may be NULL) is
 * as of waitpid(2). */
gboolean gt_family_poll (GtFamily *family, int *wait_status);

/* Ends the family: SIGKILL to every member until none is left. TRUE when gilotine-init has reported
 * that nothing is left and is itself reaped, FALSE with `error` when that did not happen until then
 * (a process in uninterruptible sleep). May be called again. */
gboolean gt_family_end (GtFamily *family, GtInstant until, GError **error);

/* Ends it (waiting up to 10 s) if that was not done, and frees. NULL is allowed. */
void gt_family_free (GtFamily *family);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtFamily, gt_family_free)
