/* Checks of gilotine doctor: what the executors and the lab stand on. */
#include "broker/broker.h"
#include "cli/doctor.h"
#include "os/paths.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An interpreter on a busy machine needs some hundred milliseconds to start. */
#define PYTHON_NS (5 * GT_NSEC_PER_SEC)
#define DUCKDB_NS (5 * GT_NSEC_PER_SEC)
/* The question itself takes up to 1 s, and starting it a little. */
#define BROKER_NS (3 * GT_NSEC_PER_SEC / 2)

/* Printed as one line of JSON. Versions come from package data: importing a package could turn the
 * GIL back on. */
#define PYTHON_QUESTION                                                                            \
  "import importlib.metadata as m, json, sys, sysconfig\n"                                         \
  "def v(name):\n"                                                                                 \
  "    try: return m.version(name)\n"                                                              \
  "    except m.PackageNotFoundError: return None\n"                                               \
  "ask = getattr(sys, '_is_gil_enabled', None)\n"                                                  \
  "print(json.dumps({'version': sys.version.split()[0],\n"                                         \
  "    'free_threaded_build': bool(sysconfig.get_config_var('Py_GIL_DISABLED')),\n"                \
  "    'gil_enabled': ask() if ask else True,\n"                                                   \
  "    'celery': v('celery'), 'kombu': v('kombu'), 'duckdb': v('duckdb')}))\n"

/* Programs that are compared with or made use of. X (name, what for) */
#define TOOLS(X)                                                                                   \
  X ("timeout", "comparison")                                                                      \
  X ("bwrap", "comparison")                                                                        \
  X ("busybox", "comparison")                                                                      \
  X ("timelimit", "comparison")                                                                    \
  X ("tini", "comparison")                                                                         \
  X ("unshare", "comparison")                                                                      \
  X ("isolate", "comparison")                                                                      \
  X ("systemd-run", "a delegated cgroup")                                                          \
  X ("docker", "the lab in containers")                                                            \
  X ("gdb", "stack dumps with --on-soft")

/* NULL when the group or key is not there. */
static char *
manifest_text (const GtDoctor *doctor, const char *group, const char *key)
{
  return g_key_file_get_string (doctor->manifest, group, key, NULL);
}

/* Nothing is asked where no family can be started: TRUE, and it is said. */
static gboolean
is_blocked (GtDoctor *doctor, const char *label, const char *what)
{
  if (doctor->blocked != NULL)
    gt_doctor_add (doctor, GT_MARK_FACT, label, NULL, "%s, not asked: %s", what, doctor->blocked);
  return doctor->blocked != NULL;
}

static json_t *
ask_json (char *line)
{
  json_t *answer = line != NULL ? json_loads (line, 0, NULL) : NULL;
  g_free (line);
  return answer;
}

static const char *
member (const json_t *object, const char *key)
{
  return json_string_value (json_object_get (object, key));
}

static void
check_executor (GtDoctor *doctor)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *found = gt_path_program ("gilotine-duckdb", NULL);
  g_autofree char *path = found != NULL ? g_canonicalize_filename (found, NULL) : NULL;
  const char *argv[] = { path, "--version", NULL };
  gt_doctor_fact (doctor, "executor", gt_doctor_text (path));
  if (!doctor->has_proc || (path != NULL && is_blocked (doctor, "DuckDB executor", path)))
    return;
  g_autofree char *line = path != NULL ? gt_doctor_ask (argv, NULL, DUCKDB_NS, &error) : NULL;
  gt_doctor_fact (doctor, "executor_version", gt_doctor_text (line));
  if (path == NULL)
    gt_doctor_add (doctor, GT_MARK_WARN, "DuckDB executor",
                   "tools/fetch-duckdb gets DuckDB; then build again",
                   "no gilotine-duckdb: no queries under a deadline");
  else if (line == NULL)
    gt_doctor_add (doctor, GT_MARK_WARN, "DuckDB executor",
                   "tools/fetch-duckdb gets DuckDB; then build again", "%s: %s", path,
                   error->message);
  else
    gt_doctor_add (doctor, GT_MARK_OK, "DuckDB executor", NULL, "%s (%s)", line, path);
}

/* Of other versions of DuckDB: what the lab compares. */
static void
check_executors_beside (GtDoctor *doctor)
{
  json_t *beside = json_array ();
  g_autofree char *found = gt_path_program ("gilotine-duckdb", NULL);
  g_autofree char *path = found != NULL ? g_canonicalize_filename (found, NULL) : NULL;
  g_auto (GStrv) others = path != NULL ? gt_path_variants (path) : g_new0 (char *, 1);
  for (char **other = others; doctor->blocked == NULL && *other != NULL; other++) {
    g_autoptr (GError) error = NULL;
    const char *argv[] = { *other, "--version", NULL };
    g_autofree char *line = gt_doctor_ask (argv, NULL, DUCKDB_NS, &error);
    json_array_append_new (beside, json_pack ("{so, so}", "executor", gt_doctor_text (*other),
                                              "version", gt_doctor_text (line)));
    if (line != NULL)
      gt_doctor_add (doctor, GT_MARK_OK, "beside it", NULL, "%s (%s)", line, *other);
    else
      gt_doctor_add (doctor, GT_MARK_WARN, "beside it",
                     "tools/fetch-duckdb VERSION gets its DuckDB; then build again", "%s: %s",
                     *other, error->message);
  }
  gt_doctor_fact (doctor, "beside", beside);
}

static void
check_library (GtDoctor *doctor)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *given = g_strdup (g_getenv ("DUCKDB_LIBRARY"));
  g_autofree char *library
      = given != NULL ? g_steal_pointer (&given) : manifest_text (doctor, "duckdb", "library");
  g_autofree char *source = g_getenv ("DUCKDB_LIBRARY") != NULL
                                ? g_strdup ("DUCKDB_LIBRARY")
                                : manifest_text (doctor, "duckdb", "source");
  gt_doctor_fact (doctor, "library", gt_doctor_text (library));
  gt_doctor_fact (doctor, "source", gt_doctor_text (source));
  if (library == NULL) {
    gt_doctor_fact (doctor, "version", NULL);
    gt_doctor_add (doctor, GT_MARK_WARN, "libduckdb", "tools/fetch-duckdb gets it",
                   "none in %s: the lab has no driver 'capi'", doctor->manifest_path);
    return;
  }
  if (is_blocked (doctor, "libduckdb", library))
    return;
  json_t *answer = ask_json (gt_doctor_ask_self ("duckdb", library, DUCKDB_NS, &error));
  const char *version = member (answer, "version");
  gt_doctor_fact (doctor, "version", gt_doctor_text (version));
  if (version != NULL)
    gt_doctor_add (doctor, GT_MARK_OK, "libduckdb", NULL, "%s (%s%s%s)", version, library,
                   source != NULL ? ", from " : "", source != NULL ? source : "");
  else
    gt_doctor_add (doctor, GT_MARK_WARN, "libduckdb", "tools/fetch-duckdb gets it anew", "%s: %s",
                   library, error != NULL ? error->message : "no answer that can be read");
  json_decref (answer);
}

void
gt_check_duckdb (GtDoctor *doctor)
{
  if (doctor->manifest_problem != NULL)
    gt_doctor_add (doctor, GT_MARK_WARN, "manifest", "'make interpreters' writes it anew",
                   "%s cannot be read: %s", doctor->manifest_path, doctor->manifest_problem);
  check_executor (doctor);
  check_executors_beside (doctor);
  check_library (doctor);
}

static void
add_python (GtDoctor *doctor, const char *group, const char *label, const json_t *answer)
{
  const char *celery = member (answer, "celery"), *duckdb = member (answer, "duckdb");
  gboolean gil = json_is_true (json_object_get (answer, "gil_enabled"));
  gboolean built = json_is_true (json_object_get (answer, "free_threaded_build"));
  /* The lab compares the two: a "nogil" interpreter that runs with the GIL proves nothing. */
  gboolean wrong = (g_str_equal (group, "gil") && !gil) || (g_str_equal (group, "nogil") && gil);
  gt_doctor_add (doctor, wrong ? GT_MARK_WARN : GT_MARK_OK, label,
                 wrong ? "'make interpreters' builds it anew" : NULL,
                 "%s, %s%s, Celery %s, module duckdb %s", member (answer, "version"),
                 gil ? "GIL on" : "GIL off", built ? " (free-threaded build)" : "",
                 celery != NULL ? celery : "none", duckdb != NULL ? duckdb : "none");
}

static void
check_interpreter (GtDoctor *doctor, const char *group)
{
  g_autofree char *label = g_strdup_printf ("Python '%s'", group);
  g_autofree char *python = manifest_text (doctor, group, "python");
  if (python == NULL) {
    gt_doctor_fact (doctor, group, NULL);
    gt_doctor_add (doctor, GT_MARK_WARN, label, "'make interpreters' builds it",
                   "none in %s: the lab cannot run it", doctor->manifest_path);
    return;
  }
  if (is_blocked (doctor, label, python))
    return;
  g_autoptr (GError) error = NULL;
  const char *argv[] = { python, "-I", "-W", "ignore", "-c", PYTHON_QUESTION, NULL };
  json_t *answer = ask_json (gt_doctor_ask (argv, NULL, PYTHON_NS, &error));
  if (member (answer, "version") == NULL) {
    gt_doctor_add (doctor, GT_MARK_WARN, label, "'make interpreters' builds it anew", "%s: %s",
                   python, error != NULL ? error->message : "no answer that can be read");
    json_decref (answer);
    answer = NULL;
  } else {
    add_python (doctor, group, label, answer);
    json_object_set_new (answer, "python", gt_doctor_text (python));
  }
  gt_doctor_fact (doctor, group, answer);
}

void
gt_check_python (GtDoctor *doctor)
{
  static const char *const groups[] = { "gil", "nogil", "tests" };
  for (guint i = 0; i < G_N_ELEMENTS (groups); i++)
    /* The tests' own interpreter is for those who change the program. */
    if (i < 2 || g_key_file_has_group (doctor->manifest, groups[i]))
      check_interpreter (doctor, groups[i]);
}

/* The version is in the name of the server's folder: its programs take seconds to say it, and some
 * refuse to say it to ordinary users. Free with g_free(). */
static char *
rabbitmq_version (const char *program)
{
  static const char *const places[] = { "/usr/lib/rabbitmq/lib", "/opt/rabbitmq/..", NULL };
  g_autofree char *real = realpath (program, NULL);
  g_autofree char *bin = real != NULL ? g_path_get_dirname (real) : NULL;
  g_autofree char *root = bin != NULL ? g_path_get_dirname (bin) : NULL;
  const char *home = root != NULL ? strstr (root, "rabbitmq_server-") : NULL;
  if (home != NULL)
    return g_strdup (home + strlen ("rabbitmq_server-"));
  for (const char *const *place = places; *place != NULL; place++) {
    g_autoptr (GDir) folder = g_dir_open (*place, 0, NULL);
    const char *name;
    while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
      if (g_str_has_prefix (name, "rabbitmq_server-"))
        return g_strdup (name + strlen ("rabbitmq_server-"));
  }
  return NULL;
}

void
gt_check_rabbitmq (GtDoctor *doctor)
{
  static const char *const places[]
      = { "/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server" };
  g_autofree char *program = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (places) && program == NULL; i++)
    if (access (places[i], X_OK) == 0)
      program = g_strdup (places[i]);
  if (program == NULL)
    program = g_find_program_in_path ("rabbitmq-server");
  g_autofree char *version = program != NULL ? rabbitmq_version (program) : NULL;
  gt_doctor_fact (doctor, "program", gt_doctor_text (program));
  gt_doctor_fact (doctor, "version", gt_doctor_text (version));
  if (program != NULL)
    gt_doctor_add (doctor, GT_MARK_OK, "RabbitMQ server", NULL, "%s (%s)",
                   version != NULL ? version : "version unknown", program);
  else
    gt_doctor_add (doctor, GT_MARK_FACT, "RabbitMQ server", NULL,
                   "none installed: the lab uses the filesystem, or a broker that is named to it");
}

/* A broker that is checked: one of several, or the only one. */
typedef struct {
  guint number; /* from 0: its place in the list */
  char *label, *shown;
  GUri *uri;
  gboolean named; /* by CELERY_BROKER_URL */
} Broker;

static void
broker_clear (Broker *broker)
{
  g_free (broker->label);
  g_free (broker->shown);
  g_clear_pointer (&broker->uri, g_uri_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Broker, broker_clear)

#define NO_TRANSPORT "set CELERY_BROKER_URL to an amqp://, amqps:// or filesystem:// URL"

static gboolean
has_scheme (const Broker *broker, const char *scheme)
{
  return g_str_equal (g_uri_get_scheme (broker->uri), scheme);
}

/* Transports that a connection is not tried for. TRUE: said. */
static gboolean
is_no_amqp (GtDoctor *doctor, const Broker *broker, json_t *facts)
{
  if (has_scheme (broker, "amqp") || has_scheme (broker, "amqps") || has_scheme (broker, "pyamqp"))
    return FALSE;
  json_object_set_new (facts, "reachable", json_null ());
  if (!has_scheme (broker, "filesystem")) {
    gt_doctor_add (doctor, GT_MARK_WARN, broker->label, NO_TRANSPORT,
                   "%s: no transport that 'gilotine send' speaks; not tried", broker->shown);
    return TRUE;
  }
  gboolean there = access (g_uri_get_path (broker->uri), W_OK | X_OK) == 0;
  json_object_set_new (facts, "reachable", json_boolean (there));
  gt_doctor_add (doctor, there ? GT_MARK_OK : GT_MARK_WARN, broker->label,
                 there ? NULL : "make the folder, or start a worker that does", "%s, %s",
                 broker->shown, there ? "a folder of this machine" : "not there or not writable");
  return TRUE;
}

static void
add_broker (GtDoctor *doctor, const Broker *broker, const json_t *answer, const GError *error)
{
  const char *problem = member (answer, "login_problem");
  const char *product = member (answer, "product"), *version = member (answer, "version");
  /* Nobody promised a broker on this machine, but one that was named must answer. */
  GtMark absent = broker->named ? GT_MARK_WARN : GT_MARK_FACT;
  if (!json_is_true (json_object_get (answer, "reachable"))) {
    const char *reason = member (answer, "reason");
    gt_doctor_add (doctor, absent, broker->label,
                   broker->named ? "start it, or correct CELERY_BROKER_URL"
                                 : "start one, or set CELERY_BROKER_URL, to send tasks; 'gilotine "
                                   "lab' starts its own",
                   "%s: %s", broker->shown,
                   reason != NULL  ? reason
                   : error != NULL ? error->message
                                   : "no answer that can be read");
    return;
  }
  gt_doctor_add (doctor, problem != NULL ? absent : GT_MARK_OK, broker->label,
                 problem != NULL ? "set CELERY_BROKER_URL with a user that may log in" : NULL,
                 "%s: %s%s%s%s%s", broker->shown, product != NULL ? product : "answers",
                 version != NULL ? " " : "", version != NULL ? version : "",
                 problem != NULL ? ", but " : ", login works", problem != NULL ? problem : "");
}

/* Returns the facts about it. */
static json_t *
check_broker (GtDoctor *doctor, const Broker *broker)
{
  json_t *facts = json_pack ("{so}", "url", gt_doctor_text (broker->shown));
  if (is_no_amqp (doctor, broker, facts) || is_blocked (doctor, broker->label, broker->shown))
    return facts;
  g_autoptr (GError) error = NULL;
  g_autofree char *number = g_strdup_printf ("%u", broker->number);
  json_t *answer = ask_json (gt_doctor_ask_self ("broker", number, BROKER_NS, &error));
  add_broker (doctor, broker, answer, error);
  json_object_set_new (facts, "reachable",
                       json_boolean (json_is_true (json_object_get (answer, "reachable"))));
  static const char *const texts[] = { "product", "version", "login_problem" };
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    json_object_set_new (facts, texts[i], gt_doctor_text (member (answer, texts[i])));
  json_decref (answer);
  return facts;
}

static char *
broker_label (guint number, guint total)
{
  return total > 1 ? g_strdup_printf ("broker %u", number + 1) : g_strdup ("broker");
}

/* One that cannot be read makes the whole list doubtful: a ';' within a password may have cut it,
 * and what looks like a host and a port is then a piece of the password. FALSE: said. */
static gboolean
can_be_read (GtDoctor *doctor, char **urls)
{
  gboolean good = TRUE;
  for (guint i = 0; urls[i] != NULL; i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GUri) uri = gt_broker_url_parse (urls[i], &error);
    g_autofree char *label = broker_label (i, g_strv_length (urls));
    if (uri == NULL)
      gt_doctor_add (doctor, GT_MARK_WARN, label, NO_TRANSPORT, "%s; not tried", error->message);
    good = good && uri != NULL;
  }
  return good;
}

void
gt_check_broker (GtDoctor *doctor)
{
  gboolean named = FALSE;
  g_auto (GStrv) urls = gt_doctor_broker_urls (&named);
  json_t *alternates = json_array ();
  gt_doctor_fact (doctor, "url", NULL);
  gt_doctor_fact (doctor, "reachable", NULL);
  gt_doctor_fact (doctor, "named", json_boolean (named));
  gt_doctor_fact (doctor, "alternates", alternates);
  if (!can_be_read (doctor, urls))
    return;
  for (guint i = 0; urls[i] != NULL; i++) {
    g_auto (Broker) broker = { .number = i, .named = named };
    broker.label = broker_label (i, g_strv_length (urls));
    broker.uri = gt_broker_url_parse (urls[i], NULL);
    broker.shown = gt_broker_uri_display (broker.uri);
    json_t *facts = check_broker (doctor, &broker);
    if (i == 0)
      json_object_update (doctor->result->facts, facts);
    else
      json_array_append (alternates, facts);
    json_decref (facts);
  }
}

void
gt_check_tools (GtDoctor *doctor)
{
  static const struct {
    const char *name, *purpose;
  } tools[] = {
#define X(name, purpose) { name, purpose },
    TOOLS (X)
#undef X
  };
  g_autoptr (GString) there = g_string_new (NULL), absent = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tools); i++) {
    g_autofree char *path = g_find_program_in_path (tools[i].name);
    GString *list = path != NULL ? there : absent;
    g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", tools[i].name);
    if (path == NULL && !g_str_equal (tools[i].purpose, "comparison"))
      g_string_append_printf (list, " (%s)", tools[i].purpose);
    gt_doctor_fact (doctor, tools[i].name, gt_doctor_text (path));
  }
  gt_doctor_add (doctor, GT_MARK_FACT, "optional tools", NULL, "%s",
                 there->len > 0 ? there->str : "none");
  if (absent->len > 0)
    gt_doctor_add (doctor, GT_MARK_FACT, "not installed", NULL, "%s", absent->str);
}
