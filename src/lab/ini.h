/* An .ini file that people write: parsed by GKeyFile, with errors that name the line. Pure but for
 * reading the file. */
#pragma once

#include <glib.h>

typedef struct {
  GKeyFile *keys;
  char *path; /* for messages */
  char *text;
} GtIni;

/* `path` names the text in errors (GT_LAB_ERROR_INPUT). */
GtIni *gt_ini_parse (const char *path, const char *text, gsize length, GError **error);
GtIni *gt_ini_load (const char *path, GError **error);
void gt_ini_free (GtIni *ini);

/* Sets `error` to "PATH:LINE: MESSAGE", LINE that of `key` in `group` (of the group when key is
 * NULL; 0 when it is not there). Always FALSE. */
gboolean gt_ini_fail (const GtIni *ini, GError **error, const char *group, const char *key,
                      const char *format, ...) G_GNUC_PRINTF (5, 6);

/* A number from `least` to `most` (`whole`: without a fraction) into *value; a key that is not
 * there leaves it. FALSE and `error` for anything else. */
gboolean gt_ini_number (const GtIni *ini, const char *group, const char *key, double least,
                        double most, gboolean whole, double *value, GError **error);

/* NAME of PATH/NAME.ini. Free with g_free(). */
char *gt_ini_name (const char *path);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtIni, gt_ini_free)
