/* gilotine doctor: the table of checks, and what a check says. */
#pragma once

#include "os/clock.h"

#include <glib.h>
#include <jansson.h>

/* Asked when CELERY_BROKER_URL names none: Celery's own default. */
#define GT_DOCTOR_BROKER "amqp://guest:guest@localhost:5672//"

/* How good a finding is. X (ID, word, SGR colour, what it means) */
#define GT_MARKS(X)                                                                                \
  X (FACT, "-", "2", "a fact, good or bad for nobody")                                             \
  X (OK, "ok", "32", "there")                                                                      \
  X (WARN, "warn", "33", "works, but holds less or lacks a part")                                  \
  X (MISSING, "missing", "31", "no promise holds without it")

typedef enum {
#define X(id, word, color, text) GT_MARK_##id,
  GT_MARKS (X)
#undef X
      GT_N_MARKS,
} GtMark;

const char *gt_mark_word (GtMark mark);
const char *gt_mark_color (GtMark mark);

/* X (ID, title) */
#define GT_DOCTOR_GROUPS(X)                                                                        \
  X (KERNEL, "kernel")                                                                             \
  X (CGROUPS, "cgroups and limits on us")                                                          \
  X (ISOLATION, "container, namespaces, privileges")                                               \
  X (DOMAINS, "kill domains")                                                                      \
  X (STACK, "DuckDB, Python, brokers, tools")

typedef enum {
#define X(id, title) GT_DOCTOR_GROUP_##id,
  GT_DOCTOR_GROUPS (X)
#undef X
      GT_N_DOCTOR_GROUPS,
} GtDoctorGroup;

/* Every check, in the order of the report: X (name, function gt_check_..., group). Each is bounded
 * in time, leaves nothing running and changes nothing. */
#define GT_DOCTOR_CHECKS(X)                                                                        \
  X ("kernel", kernel, KERNEL)                                                                     \
  X ("clock", clock, KERNEL)                                                                       \
  X ("proc", proc, KERNEL)                                                                         \
  X ("cgroups", cgroups, CGROUPS)                                                                  \
  X ("controllers", controllers, CGROUPS)                                                          \
  X ("limits", limits, CGROUPS)                                                                    \
  X ("rlimits", rlimits, CGROUPS)                                                                  \
  X ("core", core, CGROUPS)                                                                        \
  X ("container", container, ISOLATION)                                                            \
  X ("namespaces", namespaces, ISOLATION)                                                          \
  X ("seccomp", seccomp, ISOLATION)                                                                \
  X ("landlock", landlock, ISOLATION)                                                              \
  X ("privileges", privileges, ISOLATION)                                                          \
  X ("keeper", keeper, DOMAINS)                                                                    \
  X ("domains", domains, DOMAINS)                                                                  \
  X ("run", run, DOMAINS)                                                                          \
  X ("executors", executors, DOMAINS)                                                              \
  X ("duckdb", duckdb, STACK)                                                                      \
  X ("python", python, STACK)                                                                      \
  X ("rabbitmq", rabbitmq, STACK)                                                                  \
  X ("broker", broker, STACK)                                                                      \
  X ("tools", tools, STACK)

typedef struct {
  GtMark mark;
  char *label, *value;
  char *advice; /* what to do about it; NULL = nothing */
} GtDoctorRow;

typedef struct GtDoctor GtDoctor;
typedef void (*GtDoctorFunc) (GtDoctor *doctor);

typedef struct {
  const char *name;
  GtDoctorFunc func;
  GtDoctorGroup group;
} GtDoctorCheck;

/* One result for each check, in the same order. */
typedef struct {
  const GtDoctorCheck *check;
  GArray *rows;  /* GtDoctorRow */
  json_t *facts; /* for programs: numbers in the unit of their name, null for unknown */
  double elapsed_s;
} GtDoctorResult;

struct GtDoctor {
  GPtrArray *hierarchies; /* os/machine_cgroup.h */
  char *container;        /* NULL = none known */
  GKeyFile *manifest;     /* of the cache; empty when there is none */
  char *manifest_path;
  char *manifest_problem; /* NULL: read, or not there */
  gboolean has_proc;
  const char *blocked;    /* why no family can be started at all; NULL = nothing is in the way */
  GtDoctorResult *result; /* of the check that runs now */
};

/* Ended by a NULL name. Static. */
const GtDoctorCheck *gt_doctor_checks (void);

/* A row of the check that runs now. `advice` may be NULL. */
void gt_doctor_add (GtDoctor *doctor, GtMark mark, const char *label, const char *advice,
                    const char *format, ...) G_GNUC_PRINTF (5, 6);

/* A fact of the check that runs now; takes `value` over. */
void gt_doctor_fact (GtDoctor *doctor, const char *key, json_t *value);

/* The text as JSON: null for NULL, made valid UTF-8. */
json_t *gt_doctor_text (const char *text);

/* The worst mark of the rows. */
GtMark gt_doctor_result_mark (const GtDoctorResult *result);

/* Runs a program as a family for at most `timeout_ns` and returns the last line it printed (to
 * standard output or error). NULL and `error` when it cannot be started, fails or is late; the
 * message has that line too. Nothing of it is left. `env` NULL = ours. */
char *gt_doctor_ask (const char *const *argv, const char *const *env, gint64 timeout_ns,
                     GError **error);

/* The same of this program itself, for questions that may hang or crash: `gilotine doctor --ask
 * QUESTION [ARGUMENT]`. */
char *gt_doctor_ask_self (const char *question, const char *argument, gint64 timeout_ns,
                          GError **error);

/* What CELERY_BROKER_URL names, one or Celery's list with ';' between; else our own guess. */
GStrv gt_doctor_broker_urls (gboolean *named);

/* The other side of it; returns the exit code. */
int gt_doctor_answer (const char *question, const char *argument);

typedef struct {
  gboolean color;
  gboolean problems_only;
} GtDoctorView;

/* `results` are GtDoctorResult, as many as checks. Returns the worst mark. */
GtMark gt_doctor_view_text (const GArray *results, const GtDoctorView *view, GString *out);
GtMark gt_doctor_view_json (const GArray *results, const GtDoctorView *view, GString *out);

#define X(name, suffix, group) void gt_check_##suffix (GtDoctor *doctor);
GT_DOCTOR_CHECKS (X)
#undef X
