/* The experiment of kind run-tools: which command-line timeouts are put to which cases. The tools
 * are rows of the .ini file, the cases are behaviour and so a table here. Pure but for reading the
 * file.
 *
 * Groups of the file:
 *   [experiment]  kind = run-tools, title, question, cases = globs, and any setting
 *   [tool NAME]   command = words with {seconds}, {command}; if it has them, {grace}; {gilotine}
 *                 (the running program), {dir} (folder of the report FIFO), {programs} (folder of
 *                 gilotine-case)
 *                 needs = programs, by name or path; the command's first word when absent
 *                 timed-out, not-found, not-executable = the exit codes its manual names for that,
 *                 or "any" (but 0), when it names none
 *                 seconds, grace = for a tool that knows whole seconds only
 *   [quick]       settings, only = globs of tools, cases = globs */
#pragma once

#include <glib.h>

/* X (ID, key, default, least, most, whole): times in seconds. Their sum stays below the life of
 * what nobody ends (lab/cases/case.c). */
#define GT_TOOL_SETTINGS(X)                                                                        \
  X (SECONDS, "seconds", 0.2, 0.05, 2, FALSE)      /* the limit that is to fire */                 \
  X (GRACE, "grace", 0.2, 0.05, 2, FALSE)          /* between its first signal and the kill */     \
  X (TOLERANCE, "tolerance", 0.1, 0.001, 1, FALSE) /* later than this is late */                   \
  X (SETTLE, "settle", 0.1, 0.01, 1, FALSE)        /* alive this long after the tool: survivor */  \
  X (PATIENCE, "patience", 0.5, 0.1, 1, FALSE)     /* a tool not back by then hangs */             \
  X (REPEAT, "repeat", 1, 1, 1000, TRUE)           /* of each case */                              \
  X (STARTS, "starts", 20, 3, 10000, TRUE)         /* for the start cost */

typedef enum {
#define X(id, key, default_value, least, most, whole) GT_TOOL_SETTING_##id,
  GT_TOOL_SETTINGS (X)
#undef X
      GT_N_TOOL_SETTINGS,
} GtToolSetting;

/* What the lab does while the case runs. */
typedef enum {
  GT_TOOL_ALONE,     /* nothing */
  GT_TOOL_NESTED,    /* the command is the tool again, with a limit that never fires */
  GT_TOOL_KILL,      /* SIGKILL to the tool once the case is ready */
  GT_TOOL_TERMINATE, /* SIGTERM to the tool once the case is ready */
} GtToolDrive;

/* What a tool that keeps its promise does. In every case: nothing of the command survives. */
typedef enum {
  GT_TOOL_PASSES,         /* in time; its exit code is the case's number */
  GT_TOOL_LETS_GO,        /* the same, and nobody holds the caller's pipe then */
  GT_TOOL_TIMES_OUT,      /* at the limit, TERM is enough */
  GT_TOOL_TIMES_OUT_HARD, /* at the limit, or at the end of the grace where the tool has one */
  GT_TOOL_IS_GONE,        /* soon after the signal, whatever the code */
  GT_TOOL_GIVES_UP,       /* soon after the signal, with a code that is not 0 */
  GT_TOOL_FINDS_NOTHING,  /* the code for a command that is not there */
  GT_TOOL_CANNOT_EXECUTE, /* the code for a file that is no program */
} GtToolPromise;

/* X (name, column, act of gilotine-case, number, drive, promise, text). Rows of one column stand
 * together. */
#define GT_TOOL_CASES(X)                                                                           \
  X ("exit-0", "exit", "exit", 0, ALONE, PASSES, "exits with 0 in time")                           \
  X ("exit-1", "exit", "exit", 1, ALONE, PASSES, "exits with 1 in time")                           \
  X ("exit-42", "exit", "exit", 42, ALONE, PASSES, "exits with 42 in time")                        \
  X ("signal", "sig", "die", 128 + 10, ALONE, PASSES, "is ended by SIGUSR1 in time")               \
  X ("not-found", "exec", NULL, 0, ALONE, FINDS_NOTHING, "there is no such command")               \
  X ("not-executable", "exec", NULL, 0, ALONE, CANNOT_EXECUTE, "the command cannot be executed")   \
  X ("wait", "wait", "wait", 0, ALONE, TIMES_OUT, "runs into the limit")                           \
  X ("child", "child", "child", 0, ALONE, TIMES_OUT, "... with a child")                           \
  X ("setpgid", "group", "group", 0, ALONE, TIMES_OUT_HARD, "... in a group of its own")           \
  X ("setsid", "setsid", "session", 0, ALONE, TIMES_OUT_HARD, "... in a session of its own")       \
  X ("daemon", "daemon", "daemon", 0, ALONE, TIMES_OUT_HARD, "... that is a daemon")               \
  X ("ignores-term", "ignore", "stubborn", 0, ALONE, TIMES_OUT_HARD, "ignores what it can")        \
  X ("stopped", "stop", "stop", 0, ALONE, TIMES_OUT_HARD, "stops itself")                          \
  X ("storm", "storm", "storm", 0, ALONE, TIMES_OUT_HARD, "forks setsid'd chains, 4000 a second")  \
  X ("nested", "nest", "wait", 0, NESTED, TIMES_OUT, "runs into the outer of two limits")          \
  X ("nested-ignores", "nest", "stubborn", 0, NESTED, TIMES_OUT_HARD, "... and ignores signals")   \
  X ("leftovers", "left", "leave", 0, ALONE, PASSES, "ends in time and leaves a daemon")           \
  X ("pipe", "pipe", "hold", 0, ALONE, LETS_GO, "ends in time; a child holds the caller's pipe")   \
  X ("tool-killed", "kill", "child", 0, KILL, IS_GONE, "SIGKILL hits the tool")                    \
  X ("tool-terminated", "term", "child", 0, TERMINATE, GIVES_UP, "SIGTERM hits the tool")

typedef struct {
  const char *name, *column, *act; /* act NULL: gilotine-case is not started */
  int number;
  GtToolDrive drive;
  GtToolPromise promise;
  const char *text;
} GtToolCase;

/* Index from 0; NULL behind the last. Static. */
const GtToolCase *gt_tool_case (guint index);
const GtToolCase *gt_tool_case_by_name (const char *name);

/* Whether the tool's own limit is to fire in it. */
gboolean gt_tool_case_times_out (const GtToolCase *tested);

/* A set of exit codes. */
typedef struct {
  guint64 bits[4];
} GtToolCodes;

gboolean gt_tool_codes_parse (const char *text, GtToolCodes *codes);
gboolean gt_tool_codes_have (const GtToolCodes *codes, int code);

typedef struct {
  char *name;
  char *command;
  char **words; /* of the command */
  char **needs;
  char *timed_out, *not_found, *not_executable; /* as written: gt_tool_codes_parse() takes them */
  double seconds, grace;                        /* grace 0: it has none */
} GtTool;

typedef struct {
  char *name, *title, *question;
  double settings[GT_N_TOOL_SETTINGS];
  GPtrArray *tools; /* GtTool, in the order of the file */
  GPtrArray *cases; /* const GtToolCase, in the order of the table */
} GtToolPlan;

const char *gt_tool_setting_key (GtToolSetting setting);
gint64 gt_tool_setting_ns (const double *settings, GtToolSetting setting);

/* Reads `path`; an error (GT_LAB_ERROR_INPUT) names the file and the line. `only`: globs of tools
 * beside those of [quick]; NULL or empty: all. */
GtToolPlan *gt_tool_plan_load (const char *path, gboolean quick, const char *const *only,
                               GError **error);
GtToolPlan *gt_tool_plan_parse (const char *path, const char *text, gsize length, gboolean quick,
                                const char *const *only, GError **error);
void gt_tool_plan_free (GtToolPlan *plan);
void gt_tool_free (GtTool *tool);

/* What stands for {gilotine}, {dir} and {programs}. */
typedef struct {
  const char *gilotine, *dir, *programs;
} GtToolPlaces;

/* The words that put `command` under a limit of `seconds`. Free with g_strfreev(). */
char **gt_tool_argv (const GtTool *tool, const GtToolPlaces *places, double seconds,
                     const char *const *command);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtToolPlan, gt_tool_plan_free)
