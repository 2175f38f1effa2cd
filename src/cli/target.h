/* Where --report and -o write when that is no file of its own: a descriptor of ours, or something
 * that is written in place. */
#pragma once

#include "os/clock.h"

/* The descriptor that `name` stands for (/dev/stdout, /dev/stderr, /dev/fd/N, /proc/self/fd/N), -1:
 * none. Opened anew, such a file would have an offset of its own: it would overwrite what others
 * write there, and be overwritten. */
int gt_target_own_fd (const char *name);

/* A copy of the descriptor, which passes to nobody and is none of the standard ones. -1 and `error`
 * when it is not open or cannot be written to. */
int gt_target_dup (int fd, GError **error);

/* Opens what is no regular file: a device, a pipe, a link. A named pipe's reader is waited for,
 * until then. -1 and `error`; GT_OS_ERROR_TIMEOUT when none came. */
int gt_target_open (const char *name, GtInstant until, GError **error);

/* The file behind all links, also one that is not there yet, in a folder that is: what is replaced
 * is that file, not a link. NULL and errno; free with g_free(). */
char *gt_target_real_path (const char *name);
