#include "lab/tools_plan.h"

#include "lab/error.h"
#include "lab/ini.h"
#include "os/clock.h"

#include <string.h>

static const GtToolCase case_rows[] = {
#define X(name, column, act, number, drive, promise, text)                                         \
  { name, column, act, number, GT_TOOL_##drive, GT_TOOL_##promise, text },
  GT_TOOL_CASES (X)
#undef X
};

static const struct {
  const char *key;
  double default_value, least, most;
  gboolean whole;
} setting_rows[GT_N_TOOL_SETTINGS] = {
#define X(id, key, default_value, least, most, whole)                                              \
  [GT_TOOL_SETTING_##id] = { key, default_value, least, most, whole },
  GT_TOOL_SETTINGS (X)
#undef X
};

/* The keys of the groups beside settings, and whether the group may have settings. */
static const struct {
  const char *group; /* a name of its own follows a last space */
  const char *keys;
  gboolean settings;
} group_rows[] = {
  { "experiment", "kind;title;question;cases", TRUE },
  { "tool ", "command;needs;timed-out;not-found;not-executable;seconds;grace", FALSE },
  { "quick", "only;cases", TRUE },
};

const GtToolCase *
gt_tool_case (guint index)
{
  return index < G_N_ELEMENTS (case_rows) ? &case_rows[index] : NULL;
}

const GtToolCase *
gt_tool_case_by_name (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (case_rows); i++)
    if (strcmp (case_rows[i].name, name) == 0)
      return &case_rows[i];
  return NULL;
}

gboolean
gt_tool_case_times_out (const GtToolCase *tested)
{
  return tested->promise == GT_TOOL_TIMES_OUT || tested->promise == GT_TOOL_TIMES_OUT_HARD;
}

const char *
gt_tool_setting_key (GtToolSetting setting)
{
  return setting_rows[setting].key;
}

gint64
gt_tool_setting_ns (const double *settings, GtToolSetting setting)
{
  return (gint64) (settings[setting] * (double) GT_NSEC_PER_SEC);
}

/* --- exit codes ----------------------------------------------------------------------------- */

gboolean
gt_tool_codes_parse (const char *text, GtToolCodes *codes)
{
  *codes = (GtToolCodes){ { 0 } };
  if (strcmp (text, "any") == 0) {
    memset (codes->bits, 0xff, sizeof codes->bits);
    codes->bits[0] &= ~G_GUINT64_CONSTANT (1);
    return TRUE;
  }
  g_auto (GStrv) parts = g_strsplit (text, ";", -1);
  for (char **part = parts; *part != NULL; part++) {
    guint64 code;
    if (!g_ascii_string_to_unsigned (g_strstrip (*part), 10, 0, 255, &code, NULL))
      return FALSE;
    codes->bits[code / 64] |= G_GUINT64_CONSTANT (1) << code % 64;
  }
  return *parts != NULL;
}

gboolean
gt_tool_codes_have (const GtToolCodes *codes, int code)
{
  return code >= 0 && code < 256 && (codes->bits[code / 64] >> code % 64 & 1) != 0;
}

/* --- the file ------------------------------------------------------------------------------- */

/* Row of the group, -1 when there is none. */
static int
group_row (const char *group)
{
  for (guint i = 0; i < G_N_ELEMENTS (group_rows); i++) {
    const char *known = group_rows[i].group;
    if (g_str_has_suffix (known, " ") ? g_str_has_prefix (group, known) && group[strlen (known)]
                                      : strcmp (group, known) == 0)
      return (int) i;
  }
  return -1;
}

/* The keys that a group may have. */
static char **
known_keys (int row)
{
  g_autoptr (GStrvBuilder) keys = g_strv_builder_new ();
  g_auto (GStrv) own = g_strsplit (group_rows[row].keys, ";", -1);
  g_strv_builder_addv (keys, (const char **) own);
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS && group_rows[row].settings; s++)
    g_strv_builder_add (keys, setting_rows[s].key);
  return g_strv_builder_end (keys);
}

static gboolean
check_names (const GtIni *ini, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++) {
    int row = group_row (*group);
    if (row < 0)
      return gt_ini_fail (ini, error, *group, NULL,
                          "no such group [%s]; known: [experiment], [tool NAME], [quick]", *group);
    g_auto (GStrv) known = known_keys (row);
    g_auto (GStrv) keys = g_key_file_get_keys (ini->keys, *group, NULL, NULL);
    for (char **key = keys; *key != NULL; key++)
      if (!g_strv_contains ((const char *const *) known, *key)) {
        g_autofree char *list = g_strjoinv (", ", known);
        return gt_ini_fail (ini, error, *group, *key, "no such key '%s' in [%s]; known: %s", *key,
                            *group, list);
      }
  }
  return TRUE;
}

static gboolean
read_settings (const GtIni *ini, const char *group, double *settings, GError **error)
{
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS; s++)
    if (!gt_ini_number (ini, group, setting_rows[s].key, setting_rows[s].least,
                        setting_rows[s].most, setting_rows[s].whole, &settings[s], error))
      return FALSE;
  return TRUE;
}

static gboolean
read_codes (const GtIni *ini, const char *group, const char *key, const char *usual, char **text,
            GError **error)
{
  GtToolCodes codes;
  *text = g_key_file_get_string (ini->keys, group, key, NULL);
  if (*text == NULL && usual == NULL)
    return gt_ini_fail (ini, error, group, NULL, "[%s] needs %s: the exit codes, or any", group,
                        key);
  if (*text == NULL)
    *text = g_strdup (usual);
  return gt_tool_codes_parse (*text, &codes)
         || gt_ini_fail (ini, error, group, key,
                         "%s must be exit codes from 0 to 255 (124;137) or any, not '%s'", key,
                         *text);
}

static gboolean
read_command (const GtIni *ini, const char *group, GtTool *tool, GError **error)
{
  g_autoptr (GError) cause = NULL;
  tool->command = g_key_file_get_string (ini->keys, group, "command", NULL);
  if (tool->command == NULL)
    return gt_ini_fail (ini, error, group, NULL, "[%s] needs a command", group);
  if (!g_shell_parse_argv (tool->command, NULL, &tool->words, &cause))
    return gt_ini_fail (ini, error, group, "command", "%s", cause->message);
  if (!g_strv_contains ((const char *const *) tool->words, "{command}")
      || strstr (tool->command, "{seconds}") == NULL)
    return gt_ini_fail (ini, error, group, "command",
                        "the command needs {seconds}, and {command} as a word of its own");
  tool->needs = g_key_file_get_string_list (ini->keys, group, "needs", NULL, NULL);
  if (tool->needs == NULL && *tool->words[0] != '{')
    tool->needs = g_strdupv ((char *[]){ tool->words[0], NULL });
  return TRUE;
}

static gboolean
add_tool (const GtIni *ini, const char *group, GtToolPlan *plan, GError **error)
{
  GtTool *tool = g_new0 (GtTool, 1);
  g_ptr_array_add (plan->tools, tool);
  tool->name = g_strdup (group + strlen ("tool "));
  double own[GT_N_TOOL_SETTINGS];
  memcpy (own, plan->settings, sizeof own);
  if (!read_settings (ini, group, own, error) || !read_command (ini, group, tool, error))
    return FALSE;
  tool->seconds = own[GT_TOOL_SETTING_SECONDS];
  if (strstr (tool->command, "{grace}") != NULL)
    tool->grace = own[GT_TOOL_SETTING_GRACE];
  return read_codes (ini, group, "timed-out", NULL, &tool->timed_out, error)
         && read_codes (ini, group, "not-found", "127", &tool->not_found, error)
         && read_codes (ini, group, "not-executable", "126", &tool->not_executable, error);
}

static gboolean
matches (const char *const *globs, const char *name)
{
  if (globs == NULL || *globs == NULL)
    return TRUE;
  for (const char *const *glob = globs; *glob != NULL; glob++)
    if (g_pattern_match_simple (*glob, name))
      return TRUE;
  return FALSE;
}

/* Keeps the tools that match, in the order of the file. */
static gboolean
filter_tools (GtToolPlan *plan, const char *const *globs, GError **error)
{
  for (guint i = plan->tools->len; i-- > 0;)
    if (!matches (globs, ((GtTool *) plan->tools->pdata[i])->name))
      g_ptr_array_remove_index (plan->tools, i);
  if (plan->tools->len > 0)
    return TRUE;
  g_autofree char *all
      = globs != NULL ? g_strjoinv (", ", (char **) globs) : g_strdup ("[tool NAME]");
  g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_INPUT,
               "no tool of '%s' matches %s; --list names them", plan->name, all);
  return FALSE;
}

static gboolean
choose_cases (const GtIni *ini, gboolean quick, GtToolPlan *plan, GError **error)
{
  const char *group
      = quick && g_key_file_has_key (ini->keys, "quick", "cases", NULL) ? "quick" : "experiment";
  g_auto (GStrv) globs = g_key_file_get_string_list (ini->keys, group, "cases", NULL, NULL);
  for (guint i = 0; gt_tool_case (i) != NULL; i++)
    if (matches ((const char *const *) globs, gt_tool_case (i)->name))
      g_ptr_array_add (plan->cases, (gpointer) gt_tool_case (i));
  if (plan->cases->len > 0)
    return TRUE;
  GString *known = g_string_new (NULL);
  for (guint i = 0; gt_tool_case (i) != NULL; i++)
    g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", gt_tool_case (i)->name);
  gt_ini_fail (ini, error, group, "cases", "no case matches; known: %s", known->str);
  g_string_free (known, TRUE);
  return FALSE;
}

static gboolean
read_tools (const GtIni *ini, GtToolPlan *plan, GError **error)
{
  g_auto (GStrv) groups = g_key_file_get_groups (ini->keys, NULL);
  for (char **group = groups; *group != NULL; group++)
    if (g_str_has_prefix (*group, "tool ") && !add_tool (ini, *group, plan, error))
      return FALSE;
  return TRUE;
}

static GtToolPlan *
from_ini (const GtIni *ini, gboolean quick, const char *const *only, GError **error)
{
  g_autoptr (GtToolPlan) plan = g_new0 (GtToolPlan, 1);
  plan->name = gt_ini_name (ini->path);
  plan->tools = g_ptr_array_new_with_free_func ((GDestroyNotify) gt_tool_free);
  plan->cases = g_ptr_array_new ();
  for (GtToolSetting s = 0; s < GT_N_TOOL_SETTINGS; s++)
    plan->settings[s] = setting_rows[s].default_value;
  g_auto (GStrv) quick_only = g_key_file_get_string_list (ini->keys, "quick", "only", NULL, NULL);
  /* Who names tools wants those, also in a quick run. */
  const char *const *globs
      = only != NULL && *only != NULL ? only : (quick ? (const char *const *) quick_only : NULL);
  if (!check_names (ini, error) || !read_settings (ini, "experiment", plan->settings, error)
      || (quick && !read_settings (ini, "quick", plan->settings, error))
      || !read_tools (ini, plan, error) || !filter_tools (plan, globs, error)
      || !choose_cases (ini, quick, plan, error))
    return NULL;
  plan->title = g_key_file_get_string (ini->keys, "experiment", "title", NULL);
  plan->question = g_key_file_get_string (ini->keys, "experiment", "question", NULL);
  return g_steal_pointer (&plan);
}

GtToolPlan *
gt_tool_plan_parse (const char *path, const char *text, gsize length, gboolean quick,
                    const char *const *only, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_parse (path, text, length, error);
  return ini != NULL ? from_ini (ini, quick, only, error) : NULL;
}

GtToolPlan *
gt_tool_plan_load (const char *path, gboolean quick, const char *const *only, GError **error)
{
  g_autoptr (GtIni) ini = gt_ini_load (path, error);
  return ini != NULL ? from_ini (ini, quick, only, error) : NULL;
}

void
gt_tool_free (GtTool *tool)
{
  g_free (tool->name);
  g_free (tool->command);
  g_strfreev (tool->words);
  g_strfreev (tool->needs);
  g_free (tool->timed_out);
  g_free (tool->not_found);
  g_free (tool->not_executable);
  g_free (tool);
}

void
gt_tool_plan_free (GtToolPlan *plan)
{
  g_free (plan->name);
  g_free (plan->title);
  g_free (plan->question);
  g_ptr_array_unref (plan->tools);
  g_ptr_array_unref (plan->cases);
  g_free (plan);
}

/* --- command lines -------------------------------------------------------------------------- */

static char *
seconds_text (double seconds)
{
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  return g_strdup (g_ascii_formatd (number, sizeof number, "%g", seconds));
}

char **
gt_tool_argv (const GtTool *tool, const GtToolPlaces *places, double seconds,
              const char *const *command)
{
  g_autofree char *limit = seconds_text (seconds);
  g_autofree char *grace = seconds_text (tool->grace);
  const struct {
    const char *name, *value;
  } places_of[] = {
    { "{seconds}", limit },
    { "{grace}", grace },
    { "{gilotine}", places->gilotine },
    { "{dir}", places->dir },
    { "{programs}", places->programs },
  };
  g_autoptr (GStrvBuilder) argv = g_strv_builder_new ();
  for (char **word = tool->words; *word != NULL; word++) {
    if (strcmp (*word, "{command}") == 0) {
      g_strv_builder_addv (argv, (const char **) command);
      continue;
    }
    GString *filled = g_string_new (*word);
    for (guint i = 0; i < G_N_ELEMENTS (places_of); i++)
      g_string_replace (filled, places_of[i].name, places_of[i].value, 0);
    g_strv_builder_add (argv, filled->str);
    g_string_free (filled, TRUE);
  }
  return g_strv_builder_end (argv);
}
