/* What is read from a statement's text, on any text. A target that was found can be replaced by any
 * other, which is then found in its place. */
#include "executor/sql_text.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_moved (const char *sql, const GtCopyTarget *target, const char *path)
{
  g_autofree char *moved = gt_sql_copy_elsewhere (sql, target, path);
  g_auto (GtCopyTarget) again = { 0 };
  g_assert_true (gt_sql_copy_target (moved, &again));
  g_assert_cmpstr (again.path, ==, path);
  g_assert_cmpuint (again.start, ==, target->start);
  g_assert_cmpint (strncmp (moved, sql, target->start), ==, 0);
  g_assert_cmpstr (moved + again.end, ==, sql + target->end);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *sql = g_strndup ((const char *) data, size);
  g_auto (GtCopyTarget) target = { 0 };
  GtVerb verb = gt_sql_verb (sql);
  g_autofree char *path = gt_sql_copy_path (sql);
  if (!gt_sql_copy_target (sql, &target)) {
    g_assert_null (target.path);
    return 0;
  }
  g_assert_true (verb == GT_VERB_OTHER);
  g_assert_cmpstr (path, ==, target.path);
  g_assert_true (target.start < target.end && target.end <= strlen (sql));
  check_moved (sql, &target, target.path);
  check_moved (sql, &target, "/a folder/it's.gilotine-1.csv");
  return 0;
}
