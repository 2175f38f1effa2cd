#include "cli/query_files.h"

#include "cli/target.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
  const char *what;
  char *place; /* equal for what is the same file; NULL: not given, or no regular file */
} File;

enum { DATABASE, LOG, SQL, OUTPUT, REPORT, N_FILES };

static char *
place_of_inode (const struct stat *st)
{
  return S_ISREG (st->st_mode)
             ? g_strdup_printf ("%ju:%ju", (uintmax_t) st->st_dev, (uintmax_t) st->st_ino)
             : NULL;
}

static char *
place_of_fd (int fd)
{
  struct stat st;
  return fstat (fd, &st) == 0 ? place_of_inode (&st) : NULL;
}

/* What does not exist yet has its path. */
static char *
place_of (const char *path)
{
  struct stat st;
  if (path == NULL || *path == '\0')
    return NULL;
  if (stat (path, &st) == 0)
    return place_of_inode (&st);
  return gt_target_real_path (path);
}

static gboolean
is_descriptor (const char *report)
{
  return *report != '\0' && report[strspn (report, "0123456789")] == '\0';
}

static char *
place_of_report (const char *report)
{
  if (report == NULL || !is_descriptor (report))
    return place_of (report);
  return place_of_fd ((int) MIN (g_ascii_strtoull (report, NULL, 10), G_MAXINT));
}

/* A report to a descriptor or to a link (/dev/stdout) is written in place: it may follow the result
 * on standard output. */
static char *
place_of_stdout (const char *report)
{
  struct stat st;
  gboolean in_place
      = report != NULL
        && (is_descriptor (report) || (lstat (report, &st) == 0 && !S_ISREG (st.st_mode)));
  return in_place ? NULL : place_of_fd (STDOUT_FILENO);
}

static gboolean
is_own_output (const GtQueryFiles *given)
{
  return given->output == NULL || gt_target_own_fd (given->output) == STDOUT_FILENO;
}

static gboolean
check (const File files[N_FILES], GError **error)
{
  for (int target = OUTPUT; target <= REPORT; target++)
    for (int other = 0; other < target; other++)
      if (files[target].place != NULL && g_strcmp0 (files[target].place, files[other].place) == 0) {
        g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                     "%s and %s are the same file: one would replace the other", files[other].what,
                     files[target].what);
        return FALSE;
      }
  return TRUE;
}

gboolean
gt_query_files_differ (const GtQueryFiles *given, GError **error)
{
  g_autofree char *log
      = given->database != NULL ? g_strconcat (given->database, ".wal", NULL) : NULL;
  File files[N_FILES] = {
    [DATABASE] = { "the database", place_of (given->database) },
    [LOG] = { "the database's log", place_of (log) },
    [SQL]
    = { "the file of the SQL (-f)",
        g_strcmp0 (given->sql, "-") == 0 ? place_of_fd (STDIN_FILENO) : place_of (given->sql) },
    [OUTPUT]
    = { given->output != NULL ? "the output (-o)" : "standard output",
        is_own_output (given) ? place_of_stdout (given->report) : place_of (given->output) },
    [REPORT] = { "the report (--report)", place_of_report (given->report) },
  };
  gboolean good = check (files, error);
  for (int i = 0; i < N_FILES; i++)
    g_free (files[i].place);
  return good;
}
