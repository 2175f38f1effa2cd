/* The report of gilotine doctor, for people and for programs. */
#include "cli/doctor.h"

#include <stdarg.h>
#include <string.h>

static const struct {
  const char *word, *color;
} marks[] = {
#define X(id, word, color, text) { word, color },
  GT_MARKS (X)
#undef X
};

static const char *const groups[] = {
#define X(id, title) title,
  GT_DOCTOR_GROUPS (X)
#undef X
};

const char *
gt_mark_word (GtMark mark)
{
  return marks[mark].word;
}

const char *
gt_mark_color (GtMark mark)
{
  return marks[mark].color;
}

/* What machines say goes to terminals and into JSON: valid, on one line. */
static char *
one_line (char *text)
{
  char *valid = g_utf8_make_valid (text, -1);
  g_free (text);
  for (char *c = valid; *c != '\0'; c++)
    if ((guchar) *c < ' ' || *c == 0x7f)
      *c = ' ';
  return valid;
}

void
gt_doctor_add (GtDoctor *doctor, GtMark mark, const char *label, const char *advice,
               const char *format, ...)
{
  va_list args;
  va_start (args, format);
  GtDoctorRow row = { .mark = mark, .label = one_line (g_strdup (label)) };
  row.value = one_line (g_strdup_vprintf (format, args));
  row.advice = advice != NULL ? one_line (g_strdup (advice)) : NULL;
  va_end (args);
  g_array_append_val (doctor->result->rows, row);
}

void
gt_doctor_fact (GtDoctor *doctor, const char *key, json_t *value)
{
  json_object_set_new (doctor->result->facts, key, value != NULL ? value : json_null ());
}

json_t *
gt_doctor_text (const char *text)
{
  if (text == NULL)
    return json_null ();
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  return json_string (valid);
}

static const GtDoctorRow *
row_at (const GtDoctorResult *result, guint i)
{
  return &g_array_index (result->rows, GtDoctorRow, i);
}

GtMark
gt_doctor_result_mark (const GtDoctorResult *result)
{
  GtMark worst = GT_MARK_FACT;
  for (guint i = 0; i < result->rows->len; i++)
    worst = MAX (worst, row_at (result, i)->mark);
  return worst;
}

/* How many rows have each mark. */
static GtMark
count (const GArray *results, guint counts[GT_N_MARKS])
{
  GtMark worst = GT_MARK_FACT;
  memset (counts, 0, GT_N_MARKS * sizeof counts[0]);
  for (guint i = 0; i < results->len; i++) {
    const GtDoctorResult *result = &g_array_index (results, GtDoctorResult, i);
    for (guint r = 0; r < result->rows->len; r++)
      counts[row_at (result, r)->mark]++;
    worst = MAX (worst, gt_doctor_result_mark (result));
  }
  return worst;
}

static char *
verdict (const GArray *results)
{
  guint counts[GT_N_MARKS];
  GtMark worst = count (results, counts);
  guint warnings = counts[GT_MARK_WARN];
  g_autofree char *weak
      = warnings == 0 ? g_strdup ("")
                      : g_strdup_printf ("; %u warning%s", warnings, warnings == 1 ? "" : "s");
  if (worst == GT_MARK_MISSING)
    return g_strdup_printf ("deadlines do not hold here: %u thing%s missing%s",
                            counts[GT_MARK_MISSING], counts[GT_MARK_MISSING] == 1 ? "" : "s", weak);
  return g_strdup_printf ("deadlines hold here%s", weak);
}

static gboolean
is_shown (const GtDoctorRow *row, const GtDoctorView *view)
{
  return !view->problems_only || row->mark >= GT_MARK_WARN;
}

static void
append_row (const GtDoctorRow *row, const GtDoctorView *view, int width, GString *out)
{
  const char *on = view->color ? gt_mark_color (row->mark) : NULL;
  g_string_append_printf (out, "  %s%s%s%-7s%s  ", on != NULL ? "\033[" : "", on != NULL ? on : "",
                          on != NULL ? "m" : "", gt_mark_word (row->mark),
                          on != NULL ? "\033[0m" : "");
  int room = width - (int) g_utf8_strlen (row->label, -1);
  g_string_append_printf (out, "%s%*s  %s\n", row->label, room, "", row->value);
  if (row->advice != NULL)
    g_string_append_printf (out, "           %*s  -> %s\n", width, "", row->advice);
}

static int
label_width (const GArray *results, const GtDoctorView *view)
{
  glong width = 0;
  for (guint i = 0; i < results->len; i++) {
    const GtDoctorResult *result = &g_array_index (results, GtDoctorResult, i);
    for (guint r = 0; r < result->rows->len; r++)
      if (is_shown (row_at (result, r), view))
        width = MAX (width, g_utf8_strlen (row_at (result, r)->label, -1));
  }
  return (int) width;
}

GtMark
gt_doctor_view_text (const GArray *results, const GtDoctorView *view, GString *out)
{
  guint counts[GT_N_MARKS];
  GtMark worst = count (results, counts);
  int width = label_width (results, view);
  int shown_group = -1;
  if (!view->problems_only)
    g_string_append (out, "gilotine " GT_VERSION "\n");
  for (guint i = 0; i < results->len; i++) {
    const GtDoctorResult *result = &g_array_index (results, GtDoctorResult, i);
    for (guint r = 0; r < result->rows->len; r++) {
      if (!is_shown (row_at (result, r), view))
        continue;
      if ((int) result->check->group != shown_group)
        g_string_append_printf (out, "%s%s\n", out->len > 0 ? "\n" : "",
                                groups[result->check->group]);
      shown_group = (int) result->check->group;
      append_row (row_at (result, r), view, width, out);
    }
  }
  if (view->problems_only && worst < GT_MARK_WARN)
    return worst;
  g_autofree char *closing = verdict (results);
  g_string_append_printf (out, "\nverdict: %s\n", closing);
  return worst;
}

static json_t *
rows_json (const GtDoctorResult *result, const GtDoctorView *view)
{
  json_t *rows = json_array ();
  for (guint r = 0; r < result->rows->len; r++) {
    const GtDoctorRow *row = row_at (result, r);
    if (!is_shown (row, view))
      continue;
    json_array_append_new (
        rows, json_pack ("{ss, ss, ss, so}", "mark",
                         row->mark == GT_MARK_FACT ? "fact" : gt_mark_word (row->mark), "label",
                         row->label, "value", row->value, "advice", gt_doctor_text (row->advice)));
  }
  return rows;
}

GtMark
gt_doctor_view_json (const GArray *results, const GtDoctorView *view, GString *out)
{
  guint counts[GT_N_MARKS];
  GtMark worst = count (results, counts);
  g_autofree char *closing = verdict (results);
  json_t *checks = json_object ();
  for (guint i = 0; i < results->len; i++) {
    const GtDoctorResult *result = &g_array_index (results, GtDoctorResult, i);
    GtMark mark = gt_doctor_result_mark (result);
    if (view->problems_only && mark < GT_MARK_WARN)
      continue;
    json_object_set_new (checks, result->check->name,
                         json_pack ("{ss, ss, sO, so, sf}", "group", groups[result->check->group],
                                    "mark", mark == GT_MARK_FACT ? "fact" : gt_mark_word (mark),
                                    "facts", result->facts, "rows", rows_json (result, view),
                                    "elapsed_s", result->elapsed_s));
  }
  json_t *all
      = json_pack ("{ss, sb, si, si, ss, so}", "gilotine", GT_VERSION, "holds",
                   worst != GT_MARK_MISSING, "missing", (int) counts[GT_MARK_MISSING], "warnings",
                   (int) counts[GT_MARK_WARN], "verdict", closing, "checks", checks);
  char *text = json_dumps (all, JSON_COMPACT | JSON_REAL_PRECISION (6));
  json_decref (all);
  g_string_append_printf (out, "%s\n", text);
  free (text);
  return worst;
}
