#include "lab/raw.h"

#include "lab/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RAW_NAME "raw.jsonl"

/* No record of ours comes near it; what is longer is not ours. */
#define LINE_LIMIT (16u << 20)

struct GtRaw {
  FILE *file;
  char *path;
  gboolean borrowed; /* the file is somebody else's */
  int failed_errno;  /* of the first failure; 0 = none */
};

static gboolean
fail (GtRaw *raw, int errno_value, GError **error)
{
  if (raw->failed_errno == 0)
    raw->failed_errno = errno_value;
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s; the run cannot be recorded%s",
               raw->path, g_strerror (raw->failed_errno),
               raw->borrowed ? "" : " (--out DIR names another place)");
  return FALSE;
}

GtRaw *
gt_raw_create (const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, RAW_NAME, NULL);
  if (g_mkdir_with_parents (dir, 0777) < 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_SYSTEM, "%s: %s", dir, g_strerror (errno));
    return NULL;
  }
  /* "x": samples of an earlier run are never written over. */
  FILE *file = fopen (path, "wxe");
  if (file == NULL) {
    g_set_error (error, GT_LAB_ERROR, errno == EEXIST ? GT_LAB_ERROR_INPUT : GT_LAB_ERROR_SYSTEM,
                 "%s: %s%s", path, g_strerror (errno),
                 errno == EEXIST ? "; choose another --out DIR" : "");
    return NULL;
  }
  GtRaw *raw = g_new0 (GtRaw, 1);
  raw->file = file;
  raw->path = g_steal_pointer (&path);
  return raw;
}

GtRaw *
gt_raw_stream (FILE *stream)
{
  GtRaw *raw = g_new0 (GtRaw, 1);
  raw->file = stream;
  raw->path = g_strdup ("standard output");
  raw->borrowed = TRUE;
  return raw;
}

static int
write_text (const char *text, size_t length, void *file)
{
  return fwrite (text, 1, length, file) == length ? 0 : -1;
}

gboolean
gt_raw_write (GtRaw *raw, json_t *record, GError **error)
{
  /* jansson makes no record of text that is not UTF-8. */
  if (record == NULL)
    return fail (raw, EILSEQ, error);
  int failed = json_dump_callback (record, write_text, raw->file, JSON_COMPACT);
  json_decref (record);
  if (failed != 0 || putc ('\n', raw->file) == EOF)
    return fail (raw, errno, error);
  return raw->failed_errno == 0 || fail (raw, raw->failed_errno, error);
}

gboolean
gt_raw_flush (GtRaw *raw, GError **error)
{
  return fflush (raw->file) == 0 || fail (raw, errno, error);
}

gboolean
gt_raw_close (GtRaw *raw, GError **error)
{
  if (raw == NULL)
    return TRUE;
  gboolean ok = raw->failed_errno == 0 || fail (raw, raw->failed_errno, error);
  if ((raw->borrowed ? fflush (raw->file) : fclose (raw->file)) != 0 && ok)
    ok = fail (raw, errno, error);
  g_free (raw->path);
  g_free (raw);
  return ok;
}

void
gt_raw_discard (GtRaw *raw)
{
  g_autofree char *dir = g_path_get_dirname (raw->path);
  unlink (raw->path);
  rmdir (dir);
  fclose (raw->file);
  g_free (raw->path);
  g_free (raw);
}

static gboolean
read_line (const char *path, guint number, const char *line, size_t length, GtRawFunc func,
           gpointer data, GError **error)
{
  json_error_t problem;
  g_autoptr (GError) cause = NULL;
  json_t *record = length > LINE_LIMIT ? NULL : json_loadb (line, length, 0, &problem);
  gboolean ok = json_is_object (record) && func (record, data, &cause);
  if (!ok)
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s:%u: %s", path, number,
                 cause != NULL         ? cause->message
                 : record != NULL      ? "not an object"
                 : length > LINE_LIMIT ? "the line is too long"
                                       : problem.text);
  json_decref (record);
  return ok;
}

gboolean
gt_raw_read (const char *dir, GtRawFunc func, gpointer data, GError **error)
{
  g_autofree char *path = g_build_filename (dir, RAW_NAME, NULL);
  FILE *file = fopen (path, "re");
  if (file == NULL) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s: %s", path, g_strerror (errno));
    return FALSE;
  }
  char *line = NULL;
  size_t room = 0;
  guint number = 0;
  gboolean ok = TRUE;
  for (ssize_t length; ok && (length = getline (&line, &room, file)) > 0;) {
    number++;
    if (line[length - 1] == '\n')
      ok = read_line (path, number, line, (size_t) length, func, data, error);
  }
  if (ok && number == 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s: it is empty", path);
    ok = FALSE;
  }
  free (line);
  fclose (file);
  return ok;
}
