/* A folder that is one executor's alone, for what its library spills and for what it has begun to
 * write elsewhere. A correctness rule, not tidiness: executors that are PID 1 of their own
 * namespaces and share a folder read each other's blocks. No DuckDB in here: whoever kills
 * executors links it too.
 *
 *     DIR/owner       who has it, locked (flock) as long as that one lives
 *     DIR/spill/      the library's temp_directory
 *     DIR/unfinished/ a symbolic link to each file that is being written under a temporary name
 */
#pragma once

#include <glib.h>

/* How the base name of a file begins that is not complete: only such are ever removed outside. */
#define GT_UNFINISHED_PREFIX ".gilotine-"

typedef struct {
  char *path, *spill;
  int lock; /* closed and thereby released when the process ends, however it ends */
} GtTempDir;

/* Takes the folder, makes it where it is missing, and empties it. Refuses (G_FILE_ERROR) what
 * somebody else holds, what others may write to, and a folder with strange things in it: it was
 * given by mistake, and emptying it would lose them. */
GtTempDir *gt_temp_dir_open (const char *path, GError **error);

/* The folder stays, empty and free for the next executor. */
void gt_temp_dir_free (GtTempDir *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtTempDir, gt_temp_dir_free)

/* Removes what was spilled and the unfinished files that are noted. For the owner between jobs, and
 * for who has killed the owner. A folder that is not there is empty. */
gboolean gt_temp_dir_empty (const char *path, GError **error);

/* Notes that `file` (absolute, its base name begins with GT_UNFINISHED_PREFIX) is being written,
 * before it is made; and that it is gone or has its final name. */
gboolean gt_temp_dir_note (GtTempDir *self, const char *file, GError **error);
void gt_temp_dir_forget (GtTempDir *self, const char *file);
