/* Where the rows go: standard output, or a file that has its name only when it is complete. */
#pragma once

#include "os/clock.h"

#include <glib.h>

typedef struct {
  int fd;
  char *target;     /* the file to be, links followed; NULL: written in place */
  char *unfinished; /* its name until then; NULL: it has none yet (O_TMPFILE) */
  char *shown;      /* for messages */
  mode_t mode;      /* of the file to be */
} GtQueryOut;

#define GT_QUERY_OUT_NONE                                                                          \
  {                                                                                                \
    .fd = -1                                                                                       \
  }

/* NULL: standard output. FALSE and `error` when the target cannot be written: said before the query
 * is run. A descriptor of ours (/dev/stdout) and what is there and no regular file (a device, a
 * pipe, whose reader is waited for `until` then) are written in place. */
gboolean gt_query_out_open (GtQueryOut *self, const char *target, GtInstant until, GError **error);

/* All of it, or FALSE with errno: EPIPE when nobody reads any more. Blocks. */
gboolean gt_query_out_write (GtQueryOut *self, const char *text, gsize bytes);

/* All of a memory file. As above. */
gboolean gt_query_out_copy (GtQueryOut *self, int fd, gsize bytes);

/* On disk and under its name. */
gboolean gt_query_out_commit (GtQueryOut *self, GError **error);

/* What has no name yet is gone. */
void gt_query_out_clear (GtQueryOut *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtQueryOut, gt_query_out_clear)
