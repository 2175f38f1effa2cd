#include "executor/init.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long a folder may stay non-empty because somebody else's family still writes into it. */
enum { REMOVE_TRIES = 500, REMOVE_PAUSE_MS = 10 };

static int
open_in (const char *dir, const char *name, int flags)
{
  char path[PATH_MAX];
  int length = snprintf (path, sizeof path, "%s/%s", dir, name);
  if (length < 0 || (size_t) length >= sizeof path)
    return -1;
  return open (path, flags | O_CLOEXEC);
}

ssize_t
read_text (const char *dir, const char *name, char *text, size_t size)
{
  int fd = open_in (dir, name, O_RDONLY);
  if (fd < 0)
    return -1;
  ssize_t length = read (fd, text, size - 1);
  close (fd);
  text[length > 0 ? length : 0] = '\0';
  return length;
}

bool
write_text (const char *dir, const char *name, const char *text)
{
  int fd = open_in (dir, name, O_WRONLY);
  if (fd < 0)
    return false;
  ssize_t written = write (fd, text, strlen (text));
  int saved = errno;
  close (fd);
  errno = saved;
  return written == (ssize_t) strlen (text);
}

bool
read_number (const char *dir, const char *name, const char *key, uint64_t *number)
{
  char text[8192];
  if (read_text (dir, name, text, sizeof text) <= 0)
    return false;
  const size_t length = strlen (key);
  for (char *save = NULL, *line = strtok_r (text, "\n", &save); line != NULL;
       line = strtok_r (NULL, "\n", &save)) {
    if (strncmp (line, key, length) != 0 || (length > 0 && line[length] != ' '))
      continue;
    char *end;
    *number = strtoull (line + length, &end, 10);
    return end != line + length;
  }
  return false;
}

static int
remove_folder (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void) st, (void) ftw;
  if (type == FTW_DP)
    (void) rmdir (path);
  return 0;
}

void
remove_cgroup (const char *dir)
{
  if (rmdir (dir) != 0 && errno == EBUSY)
    (void) nftw (dir, remove_folder, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int
remove_entry (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  (void) st, (void) type, (void) ftw;
  (void) remove (path);
  return 0;
}

void
remove_tree (const Init *init, const char *dir)
{
  const struct timespec pause = { 0, REMOVE_PAUSE_MS * NS_PER_MS };
  for (int try = 0; try < REMOVE_TRIES; try++) {
    nftw (dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (access (dir, F_OK) != 0)
      return;
    nanosleep (&pause, NULL);
  }
  complain (init, "%s could not be removed", dir);
}
