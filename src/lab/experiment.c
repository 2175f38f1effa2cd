#include "lab/experiment.h"

#include "lab/error.h"
#include "lab/ini.h"

#include <string.h>

G_DEFINE_QUARK (gt_lab_error, gt_lab_error)

static const struct {
  const char *key;
  const char *values;
} factor_rows[GT_N_FACTORS] = {
#define X(id, key, values) [GT_FACTOR_##id] = { key, values },
  GT_FACTORS (X)
#undef X
};

static const struct {
  const char *key;
  double default_value, least, most;
} setting_rows[GT_N_SETTINGS] = {
#define X(id, key, default_value, least, most)                                                     \
  [GT_SETTING_##id] = { key, default_value, least, most },
  GT_SETTINGS (X)
#undef X
};

#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

typedef struct {
  const GtIni *ini;
  gboolean quick;
} Parser;

/* What a group may say beside settings. */
typedef enum {
  GROUP_EXPERIMENT,
  GROUP_MATRIX,
  GROUP_SUBJECT,
  GROUP_QUICK,
  GROUP_UNKNOWN
} GroupKind;

const char *
gt_factor_key (GtFactor factor)
{
  return factor_rows[factor].key;
}

const char *
gt_setting_key (GtSetting setting)
{
  return setting_rows[setting].key;
}

static gboolean
is_whole (GtSetting setting)
{
  return setting == GT_SETTING_ITERATIONS || setting == GT_SETTING_SAMPLE_MS;
}

gboolean
gt_setting_allows (GtSetting setting, double value)
{
  return value >= setting_rows[setting].least && value <= setting_rows[setting].most
         && (!is_whole (setting) || value == (double) (gint64) value);
}

guint
gt_subject_distance (const GtSubject *a, const GtSubject *b, GtFactor *which)
{
  guint distance = 0;
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    if (a->factors[f] != b->factors[f]) {
      distance++;
      if (which != NULL)
        *which = f;
    }
  return distance;
}

/* What holds under another limit, tolerance or grace proves nothing. */
gboolean
gt_subject_same_limits (const GtSubject *a, const GtSubject *b)
{
  static const GtSetting settings[]
      = { GT_SETTING_TIMEOUT, GT_SETTING_TOLERANCE, GT_SETTING_GRACE, GT_SETTING_QUERY_SECONDS };
  for (gsize i = 0; i < G_N_ELEMENTS (settings); i++)
    if (a->settings[settings[i]] < b->settings[settings[i]]
        || a->settings[settings[i]] > b->settings[settings[i]])
      return FALSE;
  return TRUE;
}

/* --- values --------------------------------------------------------------------------------- */

static GroupKind
group_kind (const char *group)
{
  if (strcmp (group, "experiment") == 0)
    return GROUP_EXPERIMENT;
  if (strcmp (group, "quick") == 0)
    return GROUP_QUICK;
  if (g_str_has_prefix (group, "matrix ") && group[7] != '\0')
    return GROUP_MATRIX;
  if (g_str_has_prefix (group, "subject ") && group[8] != '\0')
    return GROUP_SUBJECT;
  return GROUP_UNKNOWN;
}

static gboolean
is_setting (const char *key)
{
  for (GtSetting s = 0; s < GT_N_SETTINGS; s++)
    if (strcmp (key, setting_rows[s].key) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
is_factor (const char *key)
{
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    if (strcmp (key, factor_rows[f].key) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
key_allowed (GroupKind kind, const char *key)
{
  switch (kind) {
  case GROUP_EXPERIMENT:
    return strcmp (key, "kind") == 0 || strcmp (key, "title") == 0 || strcmp (key, "question") == 0
           || is_setting (key) || is_factor (key);
  case GROUP_MATRIX:
  case GROUP_SUBJECT:
    return is_setting (key) || is_factor (key);
  case GROUP_QUICK:
    return strcmp (key, "only") == 0 || is_setting (key);
  case GROUP_UNKNOWN:
    break;
  }
  return FALSE;
}

static char *
known_keys (GroupKind kind)
{
  GString *known = g_string_new (kind == GROUP_EXPERIMENT ? "kind, title, question"
                                 : kind == GROUP_QUICK    ? "only"
                                                          : "");
  if (kind != GROUP_QUICK)
    for (GtFactor f = 0; f < GT_N_FACTORS; f++)
      g_string_append_printf (known, "%s%s", known->len > 0 ? ", " : "", factor_rows[f].key);
  for (GtSetting s = 0; s < GT_N_SETTINGS; s++)
    g_string_append_printf (known, ", %s", setting_rows[s].key);
  return g_string_free (known, FALSE);
}

static gboolean
check_names (const Parser *p, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (p->ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++) {
    GroupKind kind = group_kind (*group);
    if (kind == GROUP_UNKNOWN)
      return gt_ini_fail (p->ini, error, *group, NULL,
                          "no such group [%s]; known: [experiment], [matrix NAME], [subject NAME], "
                          "[quick]",
                          *group);
    g_auto (GStrv) keys = g_key_file_get_keys (p->ini->keys, *group, NULL, NULL);
    for (char **key = keys; *key != NULL; key++)
      if (!key_allowed (kind, *key)) {
        g_autofree char *known = known_keys (kind);
        return gt_ini_fail (p->ini, error, *group, *key, "no such key '%s' in [%s]; known: %s",
                            *key, *group, known);
      }
  }
  if (!g_key_file_has_group (p->ini->keys, "experiment")) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT, "%s: it has no [experiment] group",
                 p->ini->path);
    return FALSE;
  }
  return TRUE;
}

static gboolean
read_setting (const Parser *p, const char *group, GtSetting s, double *value, GError **error)
{
  return gt_ini_number (p->ini, group, setting_rows[s].key, setting_rows[s].least,
                        setting_rows[s].most, is_whole (s), value, error);
}

/* Overlays the settings that `group` gives. */
static gboolean
read_settings (const Parser *p, const char *group, double *settings, GError **error)
{
  for (GtSetting s = 0; s < GT_N_SETTINGS; s++)
    if (!read_setting (p, group, s, &settings[s], error))
      return FALSE;
  return TRUE;
}

static gboolean
factor_allows (GtFactor factor, const char *value)
{
  /* A query may also be any SQL with {rows} in it. */
  if (factor == GT_FACTOR_QUERY && strstr (value, "{rows}") != NULL)
    return TRUE;
  g_auto (GStrv) values = g_strsplit (factor_rows[factor].values, ";", -1);
  return g_strv_contains ((const char *const *) values, value);
}

const char *
gt_factor_default (GtFactor factor)
{
  const char *values = factor_rows[factor].values;
  g_autofree char *first = g_strndup (values, strcspn (values, ";"));
  return g_intern_string (first);
}

/* The values of a factor for one group: a NULL-terminated array of interned strings. SQL may hold
 * semicolons, so only lists of plain values are split. */
static GPtrArray *
read_factor (const Parser *p, const char *group, GtFactor factor, gboolean many, GError **error)
{
  const char *key = factor_rows[factor].key;
  g_autofree char *text = g_key_file_get_string (p->ini->keys, group, key, NULL);
  g_autofree char *general = g_key_file_get_string (p->ini->keys, "experiment", key, NULL);
  g_autoptr (GPtrArray) values = g_ptr_array_new ();
  const char *given = text != NULL ? text : general;
  if (given == NULL) {
    g_ptr_array_add (values, (gpointer) gt_factor_default (factor));
    return g_steal_pointer (&values);
  }
  gboolean is_sql = strstr (given, "{rows}") != NULL;
  g_auto (GStrv) parts = g_strsplit (given, is_sql ? "\n" : ";", -1);
  for (char **part = parts; *part != NULL; part++) {
    const char *value = g_strstrip (*part);
    if (*value == '\0')
      continue;
    if (!factor_allows (factor, value)) {
      gt_ini_fail (p->ini, error, text != NULL ? group : "experiment", key,
                   "%s cannot be '%s'; known: %s", key, value, factor_rows[factor].values);
      return NULL;
    }
    g_ptr_array_add (values, (gpointer) g_intern_string (value));
  }
  if (values->len == 0 || (!many && values->len > 1)) {
    gt_ini_fail (p->ini, error, text != NULL ? group : "experiment", key,
                 values->len == 0 ? "%s has no value" : "%s takes one value here", key);
    return NULL;
  }
  return g_steal_pointer (&values);
}

/* --- subjects ------------------------------------------------------------------------------- */

/* "gil-process-fork-capi": the first four factors, then every other that is not at its default. */
static char *
subject_name (const char *const *factors)
{
  GString *name = g_string_new (NULL);
  for (GtFactor f = 0; f < GT_N_FACTORS; f++) {
    const char *shown = factors[f];
    if (f > GT_FACTOR_DRIVER && shown == gt_factor_default (f))
      continue;
    g_autofree char *threads = NULL;
    if (f == GT_FACTOR_SIGTERM)
      shown = "nohandler";
    if (f == GT_FACTOR_REAPER)
      shown = "pid1";
    if (f == GT_FACTOR_ORPHAN)
      shown = "orphan";
    if (f == GT_FACTOR_THREADS)
      shown = threads = g_strdup_printf ("%sthreads", shown);
    if (f == GT_FACTOR_QUERY && strstr (shown, "{rows}") != NULL)
      shown = "sql";
    g_string_append_printf (name, "%s%s", name->len > 0 ? "-" : "", shown);
  }
  return g_string_free (name, FALSE);
}

static gboolean
add_subject (const Parser *p, GtExperiment *e, const char *group, const char *given_name,
             const char *const *factors, GError **error)
{
  GtSubject *subject = g_new0 (GtSubject, 1);
  subject->name = given_name != NULL ? g_strdup (given_name) : subject_name (factors);
  memcpy (subject->factors, factors, sizeof subject->factors);
  for (GtSetting s = 0; s < GT_N_SETTINGS; s++)
    subject->settings[s] = setting_rows[s].default_value;
  g_ptr_array_add (e->subjects, subject);
  /* It becomes a worker's name, a file's and a queue's. */
  if (subject->name[strspn (subject->name, NAME_BYTES)] != '\0')
    return gt_ini_fail (p->ini, error, group, NULL,
                        "a subject's name is made of A-Z a-z 0-9 . _ - only");
  for (guint i = 0; i + 1 < e->subjects->len; i++)
    if (strcmp (((GtSubject *) e->subjects->pdata[i])->name, subject->name) == 0)
      return gt_ini_fail (p->ini, error, group, NULL, "the subject '%s' is there twice",
                          subject->name);
  return read_settings (p, "experiment", subject->settings, error)
         && read_settings (p, group, subject->settings, error)
         && (!p->quick || read_settings (p, "quick", subject->settings, error));
}

/* Counts through the combinations like an odometer, the last factor fastest. */
static gboolean
next_combination (GPtrArray *const *lists, guint *at)
{
  for (int f = GT_N_FACTORS - 1; f >= 0; f--) {
    if (++at[f] < lists[f]->len)
      return TRUE;
    at[f] = 0;
  }
  return FALSE;
}

static gboolean
expand_group (const Parser *p, GtExperiment *e, const char *group, GroupKind kind, GError **error)
{
  GPtrArray *lists[GT_N_FACTORS] = { NULL };
  guint at[GT_N_FACTORS] = { 0 };
  gboolean ok = TRUE;
  for (GtFactor f = 0; f < GT_N_FACTORS && ok; f++) {
    lists[f] = read_factor (p, group, f, kind == GROUP_MATRIX, error);
    ok = lists[f] != NULL;
  }
  gboolean more = ok;
  while (ok && more) {
    const char *factors[GT_N_FACTORS];
    for (GtFactor f = 0; f < GT_N_FACTORS; f++)
      factors[f] = lists[f]->pdata[at[f]];
    ok = add_subject (p, e, group, kind == GROUP_SUBJECT ? group + strlen ("subject ") : NULL,
                      factors, error);
    more = next_combination (lists, at);
  }
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    g_clear_pointer (&lists[f], g_ptr_array_unref);
  return ok;
}

static gboolean
expand (const Parser *p, GtExperiment *e, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (p->ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++) {
    GroupKind kind = group_kind (*group);
    if ((kind == GROUP_MATRIX || kind == GROUP_SUBJECT)
        && !expand_group (p, e, *group, kind, error))
      return FALSE;
  }
  if (e->subjects->len == 0) {
    g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
                 "%s: it has no [matrix NAME] and no [subject NAME]", p->ini->path);
    return FALSE;
  }
  g_auto (GStrv) only = g_key_file_get_string_list (p->ini->keys, "quick", "only", NULL, NULL);
  return !p->quick || gt_experiment_filter (e, (const char *const *) only, error);
}

static GtExperiment *
from_ini (const char *name, const GtIni *ini, gboolean quick, GError **error)
{
  const Parser parser = { ini, quick };
  g_autoptr (GtExperiment) e = g_new0 (GtExperiment, 1);
  e->name = g_strdup (name);
  e->subjects = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_subject_free);
  if (!check_names (&parser, error) || !expand (&parser, e, error))
    return NULL;
  e->title = g_key_file_get_string (ini->keys, "experiment", "title", NULL);
  e->question = g_key_file_get_string (ini->keys, "experiment", "question", NULL);
  return g_steal_pointer (&e);
}

GtExperiment *
gt_experiment_parse (const char *name, const char *path, const char *text, gsize length,
                     gboolean quick, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_parse (path, text, length, error);
  return ini != NULL ? from_ini (name, ini, quick, error) : NULL;
}

GtExperiment *
gt_experiment_load (const char *path, gboolean quick, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_load (path, error);
  g_autofree char *name = gt_ini_name (path);
  return ini != NULL ? from_ini (name, ini, quick, error) : NULL;
}

gboolean
gt_experiment_filter (GtExperiment *experiment, const char *const *globs, GError **error)
{
  if (globs == NULL || *globs == NULL)
    return TRUE;
  for (guint i = experiment->subjects->len; i-- > 0;) {
    const GtSubject *subject = experiment->subjects->pdata[i];
    gboolean matches = FALSE;
    for (const char *const *glob = globs; *glob != NULL; glob++)
      matches |= g_pattern_match_simple (*glob, subject->name);
    if (!matches)
      g_ptr_array_remove_index (experiment->subjects, i);
  }
  if (experiment->subjects->len > 0)
    return TRUE;
  g_autofree char *all = g_strjoinv (", ", (char **) globs);
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "no subject of '%s' matches %s; --list names them", experiment->name, all);
  return FALSE;
}

void
gt_subject_free (GtSubject *subject)
{
  g_free (subject->name);
  g_free (subject);
}

void
gt_experiment_free (GtExperiment *experiment)
{
  g_free (experiment->name);
  g_free (experiment->title);
  g_free (experiment->question);
  g_clear_pointer (&experiment->subjects, g_ptr_array_unref);
  g_free (experiment);
}
