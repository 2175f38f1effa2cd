#include "lab/tools_session.h"

#include "lab/error.h"
#include "lab/observer.h"
#include "lab/raw.h"
#include "lab/tools_trial.h"
#include "os/family.h"
#include "os/paths.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
  const GtToolPlan *plan;
  GtRaw *raw;
  GtStop stop;
  GtFamily *janitor; /* removes `dir` when we end, in whatever way */
  char *dir, *mark, *gilotine, *program, *programs, *no_program;
  GtToolBench bench;
  gboolean show_progress, terminal;
  GtInstant started;
  guint done, total; /* tools */
} Session;

/* --- progress ------------------------------------------------------------------------------- */

static double
seconds_left (const Session *s)
{
  double elapsed
      = (double) gt_instant_until (s->started, gt_instant_now ()) / (double) GT_NSEC_PER_SEC;
  return s->done == 0 ? 0 : elapsed / s->done * (s->total - s->done);
}

/* On a terminal one line that changes; elsewhere one for each tool (`what` NULL). */
static void
show (const Session *s, const GtTool *tool, const char *what)
{
  if (!s->show_progress || (!s->terminal && what != NULL))
    return;
  fprintf (stderr, "%s[%2u/%u] %s%s%s", s->terminal ? "\r\033[K" : "", s->done + 1, s->total,
           tool->name, what != NULL ? "  " : "", what != NULL ? what : "");
  if (s->done > 0)
    fprintf (stderr, "  about %.0f s left", seconds_left (s));
  fputs (s->terminal ? "" : "\n", stderr);
  fflush (stderr);
}

static void
clear_progress (const Session *s)
{
  if (s->show_progress && s->terminal)
    fputs ("\r\033[K", stderr);
}

/* --- one tool ------------------------------------------------------------------------------- */

/* Why the tool cannot be put to the cases; NULL when it can. It must at least let a command pass
 * that ends at once. FALSE with `error` when that could not be tried. */
static gboolean
find_obstacle (const Session *s, const GtTool *tool, char **why, GError **error)
{
  *why = NULL;
  for (char **need = tool->needs; need != NULL && *need != NULL && *why == NULL; need++) {
    g_autofree char *found = g_find_program_in_path (*need);
    if (found == NULL)
      *why = g_strdup_printf ("%s is not installed ('tools/deps tools' gets what the system has)",
                              *need);
  }
  if (*why != NULL)
    return TRUE;
  gint64 ns;
  int code;
  g_autofree char *said = NULL;
  if (!gt_tool_start_time (&s->bench, tool, &ns, &code, &said, error))
    return FALSE;
  if (code != 0)
    *why = g_strdup_printf ("does not work here: %s", said != NULL ? said
                                                      : code < 0   ? "it does not come back"
                                                                   : "it fails without a word");
  return TRUE;
}

/* Bare and under the tool in turn, so that both see the same machine. */
static gboolean
measure_starts (const Session *s, const GtTool *tool, GError **error)
{
  int code;
  for (guint i = 0; i < (guint) s->plan->settings[GT_TOOL_SETTING_STARTS]; i++) {
    gint64 bare_ns, tool_ns;
    if (!gt_tool_start_time (&s->bench, NULL, &bare_ns, &code, NULL, error)
        || !gt_tool_start_time (&s->bench, tool, &tool_ns, &code, NULL, error)
        || !gt_raw_write (s->raw,
                          json_pack ("{ss ss sI sI}", "k", "start", "s", tool->name, "bare_ns",
                                     (json_int_t) bare_ns, "tool_ns", (json_int_t) tool_ns),
                          error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
run_case (const Session *s, const GtTool *tool, const GtToolCase *tested, int n, GError **error)
{
  GtToolTrial trial;
  gboolean ok = gt_tool_trial_run (&s->bench, tool, tested, &trial, error);
  trial.n = n;
  ok = ok && gt_raw_write (s->raw, gt_tool_record_trial (tool->name, &trial), error);
  g_free (trial.said);
  if (!ok)
    g_prefix_error (error, "%s, %s: ", tool->name, tested->name);
  return ok;
}

static gboolean
run_tool (const Session *s, const GtTool *tool, GError **error)
{
  show (s, tool, NULL);
  g_autofree char *why = NULL;
  if (!gt_raw_write (s->raw, gt_tool_record_tool (tool), error)
      || !find_obstacle (s, tool, &why, error))
    return FALSE;
  if (why != NULL) {
    clear_progress (s);
    fprintf (stderr, "%s: skipped: %s\n", tool->name, why);
    return gt_raw_write (s->raw, json_pack ("{ss ss ss}", "k", "skip", "s", tool->name, "why", why),
                         error);
  }
  show (s, tool, "start cost");
  if (!measure_starts (s, tool, error))
    return FALSE;
  int repeat = (int) s->plan->settings[GT_TOOL_SETTING_REPEAT];
  for (guint i = 0; i < s->plan->cases->len; i++)
    for (int n = 0; n < repeat; n++) {
      const GtToolCase *tested = s->plan->cases->pdata[i];
      show (s, tool, tested->name);
      if (!run_case (s, tool, tested, n, error))
        return FALSE;
    }
  return gt_raw_flush (s->raw, error);
}

/* --- set-up and tear-down ------------------------------------------------------------------- */

/* The private folder, who removes it even when we are killed, and what lies in it. */
static gboolean
make_dir (Session *s, GError **error)
{
  s->dir = g_dir_make_tmp ("gilotine-lab.XXXXXX", error);
  if (s->dir == NULL)
    return FALSE;
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  spec.remove_dir = s->dir;
  s->janitor = gt_family_spawn (&spec, error);
  s->no_program = g_build_filename (s->dir, "no-program", NULL);
  return s->janitor != NULL && g_file_set_contents_full (s->no_program, "", 0, 0, 0600, error);
}

/* `gilotine` itself, when we are the gilotine-full that it became: that is what people start, and
 * it starts faster. It lies beside us in a build tree, in bin when installed. */
static char *
find_gilotine (GError **error)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", error);
  if (self == NULL)
    return NULL;
  g_autofree char *here = g_path_get_dirname (self);
  char *const candidates[] = { g_build_filename (here, "gilotine", NULL),
                               g_build_filename (here, "..", "..", "bin", "gilotine", NULL) };
  char *found = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (candidates); i++) {
    if (found == NULL && g_file_test (candidates[i], G_FILE_TEST_IS_REGULAR))
      found = g_canonicalize_filename (candidates[i], NULL);
    g_free (candidates[i]);
  }
  return found != NULL ? found : g_steal_pointer (&self);
}

static gboolean
find_programs (Session *s, GError **error)
{
  g_autofree char *found = gt_path_program ("gilotine-case", error);
  if (found == NULL)
    return FALSE;
  s->program = g_canonicalize_filename (found, NULL);
  s->programs = g_path_get_dirname (s->program);
  s->gilotine = find_gilotine (error);
  return s->gilotine != NULL;
}

static gboolean
set_up (Session *s, const char *out_dir, GError **error)
{
  gt_stop_begin (&s->stop);
  s->mark = g_uuid_string_random ();
  s->total = s->plan->tools->len;
  s->terminal = isatty (STDERR_FILENO);
  s->started = gt_instant_now ();
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *started = g_date_time_format_iso8601 (now);
  if (!find_programs (s, error))
    return FALSE;
  s->raw = gt_raw_create (out_dir, error);
  if (s->raw == NULL || !gt_raw_write (s->raw, gt_tool_record_run (s->plan, started), error)
      || !make_dir (s, error))
    return FALSE;
  s->bench = (GtToolBench){ .program = s->program,
                            .no_program = s->no_program,
                            .dir = s->dir,
                            .mark = s->mark,
                            .settings = s->plan->settings,
                            .places = { s->gilotine, s->dir, s->programs },
                            .stop = &s->stop };
  return TRUE;
}

/* Ends everything, then proves it: no process anywhere carries the run's mark. */
static gboolean
tear_down (Session *s, gboolean ok, GError **error)
{
  clear_progress (s);
  g_clear_pointer (&s->janitor, gt_family_free);
  if (s->raw != NULL) {
    int left = gt_observer_count_marked (s->mark, ok ? error : NULL);
    ok = gt_raw_write (s->raw,
                       json_pack ("{ss sI si sb}", "k", "final", "t",
                                  (json_int_t) gt_instant_now ().ns, "left", left, "interrupted",
                                  !ok),
                       ok ? error : NULL)
         && ok;
    ok = gt_raw_close (s->raw, ok ? error : NULL) && ok;
    if (ok && left != 0) {
      g_set_error (error, GT_LAB_ERROR, GT_LAB_ERROR_LEFTOVER, "%d processes of the run remained",
                   left);
      ok = FALSE;
    }
  }
  char *const texts[] = { s->dir, s->mark, s->gilotine, s->program, s->programs, s->no_program };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_free (texts[i]);
  gt_stop_end (&s->stop);
  return ok;
}

gboolean
gt_tool_session_run (const GtToolPlan *plan, const char *out_dir, gboolean show_progress,
                     GError **error)
{
  Session session = { .plan = plan, .stop = { .fd = -1 }, .show_progress = show_progress };
  gboolean ok = set_up (&session, out_dir, error);
  for (; ok && session.done < plan->tools->len; session.done++)
    ok = run_tool (&session, plan->tools->pdata[session.done], error);
  return tear_down (&session, ok, error);
}
