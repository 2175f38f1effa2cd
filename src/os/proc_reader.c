#include "os/proc_reader.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* A stat line has at most 52 numbers of 20 digits and a name of 64 bytes. */
#define FIRST_CAPACITY 4096

/* "PID/stat" without printf: it is built once a process and pass. */
#define PATH_SIZE 24

static void
stat_path (pid_t pid, char path[PATH_SIZE])
{
  char digits[12];
  gsize n = 0;
  for (guint rest = (guint) pid; rest > 0 || n == 0; rest /= 10)
    digits[n++] = (char) ('0' + rest % 10);
  gsize at = 0;
  while (n > 0)
    path[at++] = digits[--n];
  memcpy (path + at, "/stat", sizeof "/stat");
}

/* ENOENT and ESRCH are both "the process is gone": the first when its folder went before the open,
 * the second when the process went after it. */
static GtProcRead
classify (int code)
{
  switch (code) {
  case ENOENT:
  case ESRCH:
  case ENOTDIR:
    return GT_PROC_READ_GONE;
  case EACCES:
  case EPERM:
    return GT_PROC_READ_DENIED;
  default:
    return GT_PROC_READ_FAILED;
  }
}

gboolean
gt_proc_reader_open (GtProcReader *reader, const char *root, GError **error)
{
  int fd = open (root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir (fd);
  if (dir == NULL) {
    int code = errno;
    if (fd >= 0)
      close (fd);
    return gt_os_fail (error, code, "%s (is the proc file system mounted there?)", root);
  }
  *reader = (GtProcReader){ .root = dir,
                            .root_fd = fd,
                            .process_fd = -1,
                            .buffer = g_malloc (FIRST_CAPACITY),
                            .capacity = FIRST_CAPACITY };
  return TRUE;
}

void
gt_proc_reader_close (GtProcReader *reader)
{
  if (reader->root == NULL)
    return;
  gt_proc_reader_leave (reader);
  closedir (reader->root);
  reader->root = NULL;
  g_clear_pointer (&reader->buffer, g_free);
}

void
gt_proc_reader_rewind (GtProcReader *reader)
{
  rewinddir (reader->root);
}

/* 0 for what is no pid: "self", "sys", ... */
static pid_t
parse_pid (const char *name)
{
  gint64 pid = 0;
  for (const char *p = name; *p != '\0'; p++) {
    if (*p < '0' || *p > '9')
      return 0;
    pid = pid * 10 + (*p - '0');
    if (pid > G_MAXINT)
      return 0;
  }
  return (pid_t) pid;
}

pid_t
gt_proc_reader_next (GtProcReader *reader)
{
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir (reader->root);
    if (entry == NULL)
      return errno != 0 ? -1 : 0;
    pid_t pid = parse_pid (entry->d_name);
    if (pid > 0)
      return pid;
  }
}

/* Reads until the end of the file or `limit` bytes. Files of /proc may come in pieces. */
static GtProcRead
read_all (GtProcReader *reader, int fd, gsize limit)
{
  reader->length = 0;
  while (reader->length < limit) {
    if (reader->length == reader->capacity) {
      reader->capacity *= 2;
      reader->buffer = g_realloc (reader->buffer, reader->capacity);
    }
    gsize room = MIN (reader->capacity, limit) - reader->length;
    ssize_t n = read (fd, reader->buffer + reader->length, room);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return classify (errno);
    if (n == 0)
      break;
    reader->length += (gsize) n;
  }
  return GT_PROC_READ_OK;
}

static GtProcRead
read_at (GtProcReader *reader, int folder, const char *path, gsize limit)
{
  int fd = openat (folder, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return classify (errno);
  GtProcRead result = read_all (reader, fd, limit);
  int code = errno;
  close (fd);
  errno = code;
  return result;
}

/* One read is enough: the kernel gives a stat line whole, and a second read only to see the end
 * would cost a quarter of the pass. A line that is not whole is parsed as none. */
static GtProcRead
read_stat (GtProcReader *reader, int folder, const char *path, GtProcStat *out)
{
  int fd = openat (folder, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return classify (errno);
  ssize_t n;
  do
    n = read (fd, reader->buffer, reader->capacity);
  while (n < 0 && errno == EINTR);
  int code = errno;
  close (fd);
  errno = code;
  if (n < 0)
    return classify (code);
  reader->length = (gsize) n;
  if (!gt_proc_parse_stat (reader->buffer, reader->length, out)) {
    errno = EBADMSG;
    return n == 0 ? GT_PROC_READ_GONE : GT_PROC_READ_FAILED;
  }
  return GT_PROC_READ_OK;
}

GtProcRead
gt_proc_reader_stat (GtProcReader *reader, pid_t pid, GtProcStat *out)
{
  char path[PATH_SIZE];
  stat_path (pid, path);
  return read_stat (reader, reader->root_fd, path, out);
}

GtProcRead
gt_proc_reader_enter (GtProcReader *reader, pid_t pid, GtProcStat *out)
{
  char path[PATH_SIZE];
  gt_proc_reader_leave (reader);
  stat_path (pid, path);
  *strchr (path, '/') = '\0';
  reader->process_fd = openat (reader->root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (reader->process_fd < 0)
    return classify (errno);
  GtProcRead result = gt_proc_reader_stat_again (reader, out);
  if (result != GT_PROC_READ_OK) {
    int code = errno;
    gt_proc_reader_leave (reader);
    errno = code;
  }
  return result;
}

void
gt_proc_reader_leave (GtProcReader *reader)
{
  if (reader->process_fd >= 0)
    close (reader->process_fd);
  reader->process_fd = -1;
}

GtProcRead
gt_proc_reader_stat_again (GtProcReader *reader, GtProcStat *out)
{
  return read_stat (reader, reader->process_fd, "stat", out);
}

GtProcRead
gt_proc_reader_file (GtProcReader *reader, const char *name, gsize limit)
{
  return read_at (reader, reader->process_fd, name, limit);
}
