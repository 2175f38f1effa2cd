/* Reads the files of one process after the other through a kept descriptor of /proc, into one
 * buffer that only grows. Private to os/. */
#pragma once

#include "os/proc.h"

#include <dirent.h>
#include <glib.h>

typedef enum {
  GT_PROC_READ_OK,
  GT_PROC_READ_GONE,   /* the process ended, or the kernel has no such file */
  GT_PROC_READ_DENIED, /* not ours to see */
  GT_PROC_READ_FAILED, /* errno tells: out of descriptors, memory, ... */
} GtProcRead;

typedef struct {
  DIR *root;
  int root_fd;    /* of root */
  int process_fd; /* between enter and leave, else -1 */
  char *buffer;   /* text of the last file read */
  gsize capacity;
  gsize length;
} GtProcReader;

gboolean gt_proc_reader_open (GtProcReader *reader, const char *root, GError **error);
void gt_proc_reader_close (GtProcReader *reader);

/* Calls of one pass over the processes: rewind, then next until 0. Negative: errno tells. */
void gt_proc_reader_rewind (GtProcReader *reader);
pid_t gt_proc_reader_next (GtProcReader *reader);

/* The stat line of a pid: three system calls, the hot path. */
GtProcRead gt_proc_reader_stat (GtProcReader *reader, pid_t pid, GtProcStat *out);

/* Everything read between enter and leave is of one and the same process: an open folder of /proc
 * stands for the process, not for its number. stat is what was read through it. */
GtProcRead gt_proc_reader_enter (GtProcReader *reader, pid_t pid, GtProcStat *out);
void gt_proc_reader_leave (GtProcReader *reader);

/* The stat line again, and any other file; text in buffer/length. At most `limit` bytes. */
GtProcRead gt_proc_reader_stat_again (GtProcReader *reader, GtProcStat *out);
GtProcRead gt_proc_reader_file (GtProcReader *reader, const char *name, gsize limit);
