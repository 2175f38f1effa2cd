#include "cli/census_view.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

#define NSEC_PER_SEC ((double) GT_NSEC_PER_SEC)

/* Names shown in the table; JSON has them all. */
#define SIGNALS_SHOWN 6

/* X (field, name): the masks of a process */
#define MASKS(X)                                                                                   \
  X (caught, "caught")                                                                             \
  X (ignored, "ignored")                                                                           \
  X (blocked, "blocked")                                                                           \
  X (pending, "pending")                                                                           \
  X (pending_shared, "pending_shared")

/* "12.3M"; four significant places at most. */
static void
append_size (GString *out, gint64 bytes, int width)
{
  static const char units[] = "BKMGTPE";
  char text[32];
  double value = (double) bytes;
  gsize unit = 0;
  for (; value >= 1023.95 && unit < sizeof units - 2; unit++)
    value /= 1024;
  if (bytes < 0)
    g_strlcpy (text, "?", sizeof text);
  else
    g_snprintf (text, sizeof text, unit == 0 ? "%.0f%c" : "%.1f%c", value, units[unit]);
  g_string_append_printf (out, "%*s", width, text);
}

static const char *
signal_name (int number, char text[16])
{
  const char *name = number < SIGRTMIN ? sigabbrev_np (number) : NULL;
  if (name != NULL)
    return name;
  if (number >= SIGRTMIN && number <= SIGRTMAX)
    g_snprintf (text, 16, "RTMIN+%d", number - SIGRTMIN);
  else
    g_snprintf (text, 16, "%d", number);
  return text;
}

/* Those that end a process first: they are what a deadline sends. */
static void
append_mask (GString *out, const char *name, guint64 mask)
{
  static const int first[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGALRM };
  char text[16];
  guint shown = 0;
  guint64 rest = mask;
  if (mask == 0)
    return;
  g_string_append_printf (out, "%s%s", out->len > 0 ? " " : "", name);
  for (int i = 0; i < (int) G_N_ELEMENTS (first) + 64 && shown < SIGNALS_SHOWN; i++) {
    int number = i < (int) G_N_ELEMENTS (first) ? first[i] : i - (int) G_N_ELEMENTS (first) + 1;
    guint64 bit = G_GUINT64_CONSTANT (1) << (number - 1);
    if ((rest & bit) == 0)
      continue;
    rest &= ~bit;
    g_string_append_printf (out, "%c%s", shown++ == 0 ? ':' : ',', signal_name (number, text));
  }
  if (rest != 0)
    g_string_append_printf (out, ",+%d", __builtin_popcountll (rest));
}

static void
append_signals (GString *out, const GtProcess *process)
{
  g_autoptr (GString) text = g_string_new (NULL);
  if (process->signals_known) {
#define X(field, name) append_mask (text, name, process->signals.field);
    MASKS (X)
#undef X
    if (text->len == 0)
      g_string_append (text, "none");
  } else {
    g_string_append (text, "?");
  }
  g_string_append_printf (out, "  [%s]", text->str);
}

static void
append_head (GString *out, const GtCensusView *view)
{
  g_string_append_printf (out, "%7s %7s  %-8s %9s", "PID", "PPID", "STATE", "CPU-S");
  if (view->rate)
    g_string_append_printf (out, " %6s", "CPU%");
  g_string_append_printf (out, " %8s", "RSS");
  if (view->pss)
    g_string_append_printf (out, " %8s", "PSS");
  g_string_append_printf (out, " %4s  COMMAND\n", "THR");
}

static gboolean
is_burning (const GtProcess *process)
{
  return process->state == 'R' && process->cpu_grown_ns != 0;
}

/* Keeps what fits into the columns of the terminal: wide characters take two. */
static void
cut_line (GString *out, gsize from, guint columns)
{
  guint used = 0;
  for (const char *p = out->str + from; *p != '\0'; p += g_utf8_skip[(guchar) *p]) {
    gunichar c = g_utf8_get_char (p);
    used += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
    if (used > columns) {
      g_string_truncate (out, (gsize) (p - out->str));
      return;
    }
  }
}

static void
append_row (GString *out, const GtCensusView *view, const GtProcess *process, gint64 interval_ns)
{
  gsize start = out->len;
  const char *color = process->zombie ? "\033[31m" : is_burning (process) ? "\033[33m" : NULL;
  g_string_append_printf (out, "%7d %7d  %-8s %9.2f", (int) process->pid, (int) process->ppid,
                          gt_proc_state_name (process->state),
                          (double) process->cpu_ns / NSEC_PER_SEC);
  if (view->rate && (interval_ns <= 0 || process->cpu_grown_ns < 0))
    g_string_append_printf (out, " %6s", "-");
  else if (view->rate)
    g_string_append_printf (out, " %6.1f",
                            100.0 * (double) process->cpu_grown_ns / (double) interval_ns);
  g_string_append_c (out, ' ');
  append_size (out, process->rss_bytes, 8);
  if (view->pss) {
    g_string_append_c (out, ' ');
    append_size (out, process->pss_bytes, 8);
  }
  g_string_append_printf (out, " %4d  %*s", process->threads, 2 * (int) MIN (process->depth, 40),
                          "");
  if (process->cmdline != NULL && process->cmdline[0] != '\0')
    g_string_append (out, process->cmdline);
  else
    g_string_append_printf (out, "[%s]", process->comm);
  if (view->signals)
    append_signals (out, process);
  if (view->columns > 0)
    cut_line (out, start, view->columns);
  if (view->color && color != NULL) {
    g_string_insert (out, (gssize) start, color);
    g_string_append (out, "\033[0m");
  }
  g_string_append_c (out, '\n');
}

static void
append_summary (GString *out, const GtCensusView *view, const GtCensusTotals *totals)
{
  g_string_append_printf (out, "%u process%s, %u zombie%s, %u burning, %.2f CPU-seconds",
                          totals->processes, totals->processes == 1 ? "" : "es", totals->zombies,
                          totals->zombies == 1 ? "" : "s", totals->burning,
                          (double) (totals->cpu_ns + totals->cpu_vanished_ns) / NSEC_PER_SEC);
  if (totals->cpu_vanished_ns > 0)
    g_string_append_printf (out, " (%.2f by vanished processes)",
                            (double) totals->cpu_vanished_ns / NSEC_PER_SEC);
  g_string_append (out, ", RSS ");
  append_size (out, totals->rss_bytes, 0);
  if (view->pss) {
    g_string_append (out, ", PSS ");
    append_size (out, totals->pss_bytes, 0);
  }
  g_string_append_c (out, '\n');
  if (totals->denied > 0)
    g_string_append_printf (out, "%u processes could not be looked at: no permission\n",
                            totals->denied);
  if (totals->hidden)
    g_string_append (out, "/proc hides processes of other users: they are not counted\n");
}

void
gt_census_view_table (const GtCensusResult *result, const GtCensusView *view, gint64 interval_ns,
                      GString *out)
{
  append_head (out, view);
  for (gsize i = 0; i < result->n_processes; i++)
    append_row (out, view, &result->processes[i], interval_ns);
  append_summary (out, view, &result->totals);
}

static json_t *
known (gint64 value)
{
  return value < 0 ? json_null () : json_integer (value);
}

static json_t *
mask_json (guint64 mask)
{
  char text[16];
  json_t *names = json_array ();
  for (int number = 1; number <= 64; number++)
    if (mask >> (number - 1) & 1)
      json_array_append_new (names, json_string (signal_name (number, text)));
  return names;
}

static json_t *
signals_json (const GtProcess *process)
{
  if (!process->signals_known)
    return json_null ();
  json_t *signals = json_object ();
#define X(field, name) json_object_set_new (signals, name, mask_json (process->signals.field));
  MASKS (X)
#undef X
  return signals;
}

static json_t *
process_json (const GtProcess *process, const GtCensusView *view)
{
  char state[2] = { process->state, '\0' };
  json_t *object = json_pack (
      "{si, si, si, si, sI, ss, ss, sb, sb, sb, sb, sb, si, si, si, si, sI, so, sI, so}", /**/
      "pid", (int) process->pid, "ppid", (int) process->ppid, "pgrp", (int) process->pgrp,
      "session", (int) process->session, "start_ticks", (json_int_t) process->start_ticks, "state",
      state, "state_name", gt_proc_state_name (process->state), "zombie", process->zombie,
      "is_root", (process->member & GT_MEMBER_ROOT) != 0, "is_descendant",
      (process->member & GT_MEMBER_DESCENDANT) != 0, "is_marked",
      (process->member & GT_MEMBER_MARK) != 0, "is_remembered",
      (process->member & GT_MEMBER_REMEMBERED) != 0, "root", (int) process->root, "parent",
      process->parent, "depth", (int) process->depth, "threads", process->threads, "cpu_ns",
      (json_int_t) process->cpu_ns, "cpu_grown_ns", known (process->cpu_grown_ns),
      "children_cpu_ns", (json_int_t) process->children_cpu_ns, "rss_bytes",
      known (process->rss_bytes));
  json_object_set_new (object, "comm", json_string (process->comm));
  json_object_set_new (object, "cmdline",
                       process->cmdline != NULL ? json_string (process->cmdline) : json_null ());
  if (process->mark_known)
    json_object_set_new (object, "mark",
                         process->mark != NULL ? json_string (process->mark) : json_false ());
  if (view->pss)
    json_object_set_new (object, "pss_bytes", known (process->pss_bytes));
  if (view->signals)
    json_object_set_new (object, "signals", signals_json (process));
  return object;
}

void
gt_census_view_json (const GtCensusResult *result, const GtCensusView *view, GString *out)
{
  const GtCensusTotals *totals = &result->totals;
  json_t *processes = json_array ();
  for (gsize i = 0; i < result->n_processes; i++)
    json_array_append_new (processes, process_json (&result->processes[i], view));
  json_t *pass = json_pack (
      "{sI, sI, s{si, si, si, si, si, sI, sI, sI, so, si, si, sb}, so}", "before_ns",
      (json_int_t) result->before.ns, "after_ns", (json_int_t) result->after.ns, "totals",
      "processes", (int) totals->processes, "zombies", (int) totals->zombies, "burning",
      (int) totals->burning, "appeared", (int) totals->appeared, "vanished", (int) totals->vanished,
      "cpu_ns", (json_int_t) totals->cpu_ns, "cpu_vanished_ns",
      (json_int_t) totals->cpu_vanished_ns, "rss_bytes", (json_int_t) totals->rss_bytes,
      "pss_bytes", known (totals->pss_bytes), "scanned", (int) totals->scanned, "denied",
      (int) totals->denied, "hidden", totals->hidden, "processes", processes);
  g_autofree char *text = json_dumps (pass, JSON_COMPACT);
  json_decref (pass);
  g_string_append (out, text);
  g_string_append_c (out, '\n');
}
