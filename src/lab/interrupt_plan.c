#include "lab/interrupt_plan.h"

#include "lab/error.h"
#include "lab/ini.h"
#include "os/clock.h"

#include <string.h>

static const struct {
  const char *key;
  double default_value, least, most;
  gboolean whole;
} rows[GT_N_INTERRUPT_SETTINGS] = {
#define X(id, key, default_value, least, most, whole)                                              \
  [GT_INTERRUPT_##id] = { key, default_value, least, most, whole },
  GT_INTERRUPT_SETTINGS (X)
#undef X
};

/* Keys beside settings. */
static const char *const experiment_keys[]
    = { "kind", "title", "question", "offsets", "duckdb", NULL };
static const char *const quick_keys[] = { "only", "offsets", "duckdb", NULL };
static const char *const query_keys[]
    = { "class", "sql", "times", "database", "setup", "check", NULL };

const char *
gt_interrupt_setting_key (GtInterruptSetting setting)
{
  return rows[setting].key;
}

static void
query_free (GtInterruptQuery *query)
{
  g_free (query->name);
  g_free (query->class_name);
  g_free (query->sql);
  g_free (query->setup);
  g_free (query->check);
  g_free (query);
}

void
gt_interrupt_plan_free (GtInterruptPlan *plan)
{
  g_free (plan->name);
  g_free (plan->title);
  g_free (plan->question);
  g_array_unref (plan->offsets_ns);
  g_strfreev (plan->versions);
  g_ptr_array_unref (plan->queries);
  g_free (plan);
}

static gboolean
is_setting (const char *key)
{
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    if (g_str_equal (rows[s].key, key))
      return TRUE;
  return FALSE;
}

static gboolean
check_group (const GtIni *ini, const char *group, GError **error)
{
  gboolean query = g_str_has_prefix (group, "query ");
  const char *const *known = query                               ? query_keys
                             : g_str_equal (group, "experiment") ? experiment_keys
                             : g_str_equal (group, "quick")      ? quick_keys
                                                                 : NULL;
  if (known == NULL)
    return gt_ini_fail (ini, error, group, NULL,
                        "no such group [%s]; known: [experiment], [query NAME], [quick]", group);
  g_auto (GStrv) keys = g_key_file_get_keys (ini->keys, group, NULL, NULL);
  for (char **key = keys; *key != NULL; key++)
    if (!g_strv_contains (known, *key) && (query || !is_setting (*key))) {
      g_autofree char *list = g_strjoinv (", ", (char **) known);
      return gt_ini_fail (ini, error, group, *key, "no such key '%s' in [%s]; known: %s%s", *key,
                          group, list, query ? "" : " and settings");
    }
  return TRUE;
}

static gboolean
check_names (const GtIni *ini, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++)
    if (!check_group (ini, *group, error))
      return FALSE;
  return TRUE;
}

static gboolean
read_settings (const GtIni *ini, const char *group, double *settings, GError **error)
{
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    if (!gt_ini_number (ini, group, rows[s].key, rows[s].least, rows[s].most, rows[s].whole,
                        &settings[s], error))
      return FALSE;
  return TRUE;
}

static gboolean
read_offsets (const GtIni *ini, const char *group, GArray *offsets, GError **error)
{
  g_auto (GStrv) texts = g_key_file_get_string_list (ini->keys, group, "offsets", NULL, NULL);
  if (texts == NULL && offsets->len > 0)
    return TRUE;
  g_array_set_size (offsets, 0);
  for (char **text = texts; text != NULL && *text != NULL; text++) {
    char *end = NULL;
    double seconds = g_ascii_strtod (g_strstrip (*text), &end);
    gint64 ns = (gint64) (seconds * (double) GT_NSEC_PER_SEC);
    gint64 last = offsets->len > 0 ? g_array_index (offsets, gint64, offsets->len - 1) : 0;
    if (end == *text || *end != '\0' || !(seconds > 0) || seconds > 600 || ns <= last)
      return gt_ini_fail (ini, error, group, "offsets",
                          "offsets must be ascending seconds above 0 (0.05;0.4), not '%s'", *text);
    g_array_append_val (offsets, ns);
  }
  return offsets->len > 0
         || gt_ini_fail (ini, error, group, "offsets", "offsets must be seconds: 0.05;0.4");
}

/* The statements `times` times. */
static char *
repeat_sql (const char *sql, guint times)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < times; i++)
    g_string_append_printf (text, "%s;\n", sql);
  return g_string_free (text, FALSE);
}

static gboolean
add_query (const GtIni *ini, const char *group, GtInterruptPlan *plan, GError **error)
{
  double times = 1;
  g_autofree char *sql = g_key_file_get_string (ini->keys, group, "sql", NULL);
  g_autofree char *place = g_key_file_get_string (ini->keys, group, "database", NULL);
  if (sql == NULL || *sql == '\0')
    return gt_ini_fail (ini, error, group, NULL, "[%s] needs sql", group);
  if (place != NULL && !g_str_equal (place, "file") && !g_str_equal (place, "memory"))
    return gt_ini_fail (ini, error, group, "database", "database is memory or file, not '%s'",
                        place);
  if (!gt_ini_number (ini, group, "times", 1, 1000000, TRUE, &times, error))
    return FALSE;
  GtInterruptQuery *query = g_new0 (GtInterruptQuery, 1);
  query->name = g_strdup (group + strlen ("query "));
  query->class_name = g_key_file_get_string (ini->keys, group, "class", NULL);
  query->sql = repeat_sql (sql, (guint) times);
  query->setup = g_key_file_get_string (ini->keys, group, "setup", NULL);
  query->check = g_key_file_get_string (ini->keys, group, "check", NULL);
  query->in_file = g_strcmp0 (place, "file") == 0;
  if (query->class_name == NULL)
    query->class_name = g_strdup ("");
  g_ptr_array_add (plan->queries, query);
  return TRUE;
}

static gboolean
matches (const char *const *globs, const char *name)
{
  for (const char *const *glob = globs; glob != NULL && *glob != NULL; glob++)
    if (g_pattern_match_simple (*glob, name))
      return TRUE;
  return globs == NULL || *globs == NULL;
}

gboolean
gt_interrupt_plan_takes (const GtInterruptPlan *plan, const char *version)
{
  return matches ((const char *const *) plan->versions, version);
}

static void
read_versions (const GtIni *ini, const char *group, GtInterruptPlan *plan)
{
  char **globs = g_key_file_get_string_list (ini->keys, group, "duckdb", NULL, NULL);
  if (globs == NULL)
    return;
  g_strfreev (plan->versions);
  plan->versions = globs;
}

static gboolean
read_queries (const GtIni *ini, const char *const *globs, GtInterruptPlan *plan, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++)
    if (g_str_has_prefix (*group, "query ") && matches (globs, *group + strlen ("query "))
        && !add_query (ini, *group, plan, error))
      return FALSE;
  if (plan->queries->len > 0)
    return TRUE;
  g_autofree char *all
      = globs != NULL ? g_strjoinv (", ", (char **) globs) : g_strdup ("[query NAME]");
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "no query of '%s' matches %s; --list names them", plan->name, all);
  return FALSE;
}

static GtInterruptPlan *
from_ini (const GtIni *ini, gboolean quick, const char *const *only, GError **error)
{
  g_autoptr (GtInterruptPlan) plan = g_new0 (GtInterruptPlan, 1);
  plan->name = gt_ini_name (ini->path);
  plan->offsets_ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  plan->queries = g_ptr_array_new_with_free_func ((GDestroyNotify) query_free);
  for (int s = 0; s < GT_N_INTERRUPT_SETTINGS; s++)
    plan->settings[s] = rows[s].default_value;
  g_auto (GStrv) quick_only = g_key_file_get_string_list (ini->keys, "quick", "only", NULL, NULL);
  /* Who names queries wants those, also in a quick run. */
  const char *const *globs
      = only != NULL && *only != NULL ? only : (quick ? (const char *const *) quick_only : NULL);
  if (!check_names (ini, error) || !read_settings (ini, "experiment", plan->settings, error)
      || !read_offsets (ini, "experiment", plan->offsets_ns, error)
      || (quick && !read_settings (ini, "quick", plan->settings, error))
      || (quick && !read_offsets (ini, "quick", plan->offsets_ns, error))
      || !read_queries (ini, globs, plan, error))
    return NULL;
  read_versions (ini, "experiment", plan);
  if (quick)
    read_versions (ini, "quick", plan);
  plan->title = g_key_file_get_string (ini->keys, "experiment", "title", NULL);
  plan->question = g_key_file_get_string (ini->keys, "experiment", "question", NULL);
  return g_steal_pointer (&plan);
}

GtInterruptPlan *
gt_interrupt_plan_parse (const char *path, const char *text, gsize length, gboolean quick,
                         const char *const *only, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_parse (path, text, length, error);
  return ini != NULL ? from_ini (ini, quick, only, error) : NULL;
}

GtInterruptPlan *
gt_interrupt_plan_load (const char *path, gboolean quick, const char *const *only, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_load (path, error);
  return ini != NULL ? from_ini (ini, quick, only, error) : NULL;
}
