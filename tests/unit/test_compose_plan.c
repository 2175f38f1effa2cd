/* From a subject to a service and its settings; and what is read out of docker's answers. */
#include "lab/compose_plan.h"

#include <jansson.h>
#include <string.h>

static GtSubject
subject (void)
{
  GtSubject s = { .name = (char *) "x" };
  for (GtFactor f = 0; f < GT_N_FACTORS; f++)
    s.factors[f] = gt_factor_default (f);
  s.settings[GT_SETTING_GRACE] = 0.25;
  s.settings[GT_SETTING_SAMPLE_MS] = 20;
  return s;
}

static void
test_service (void)
{
  static const struct {
    const char *runtime, *strategy, *pool, *reaper, *service, *queue;
  } rows[] = {
    { "gil", "process", "solo", "init", "worker-gil-init", "gil-init" },
    { "gil", "process", "solo", "worker", "worker-gil", "gil" },
    { "nogil", "signals", "solo", "worker", "worker-nogil", "nogil" },
    { "gil", "clean", "solo", "worker", "worker-gil-clean", "gil-clean" },
    { "nogil", "clean", "solo", "init", "worker-nogil-clean-init", "nogil-clean-init" },
    { "gil", "process", "prefork", "worker", "worker-prefork", "prefork" },
    { "gil", "process", "prefork", "init", "worker-prefork-init", "prefork-init" },
    { "nogil", "process", "prefork", "init", "worker-nogil-prefork-init", "nogil-prefork-init" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    GtSubject s = subject ();
    s.factors[GT_FACTOR_RUNTIME] = g_intern_static_string (rows[i].runtime);
    s.factors[GT_FACTOR_STRATEGY] = g_intern_static_string (rows[i].strategy);
    s.factors[GT_FACTOR_POOL] = g_intern_static_string (rows[i].pool);
    s.factors[GT_FACTOR_REAPER] = g_intern_static_string (rows[i].reaper);
    g_autofree char *service = gt_compose_service (&s);
    g_assert_cmpstr (service, ==, rows[i].service);
    g_assert_cmpstr (gt_compose_queue (service), ==, rows[i].queue);
    g_assert_cmpstr (gt_compose_reaper (&s), ==,
                     g_str_equal (rows[i].reaper, "init") ? "docker-init" : "nobody");
  }
}

static json_t *
overlay (const GtSubject *s, const char *threads, const char *level)
{
  g_autofree char *text = gt_compose_overlay (s, "the-mark", threads, level);
  json_t *parsed = json_loads (text, 0, NULL);
  g_assert_nonnull (parsed);
  return parsed;
}

static const char *
variable (const json_t *parsed, const char *service, const char *name)
{
  const json_t *services = json_object_get (parsed, "services");
  const json_t *env = json_object_get (json_object_get (services, service), "environment");
  return json_string_value (json_object_get (env, name));
}

static void
test_overlay (void)
{
  GtSubject s = subject ();
  s.factors[GT_FACTOR_STRATEGY] = g_intern_static_string ("clean");
  s.factors[GT_FACTOR_START] = g_intern_static_string ("spawn");
  s.factors[GT_FACTOR_ORPHAN] = g_intern_static_string ("yes");
  s.factors[GT_FACTOR_QUERY] = g_intern_static_string ("select '$HOME', {rows}");
  json_t *parsed = overlay (&s, NULL, NULL);
  static const char *const expected[][2] = {
    { "TIMEOUT_USE_SIGNALS", "0" },
    { "CLEANUP_CHILDREN", "1" },
    { "MP_START_METHOD", "spawn" },
    { "DUCKDB_DRIVER", "capi" },
    { "DUCKDB_THREADS", "1" },
    { "SUBJECT_SIGTERM", "inherit" },
    { "SUBJECT_ORPHAN", "1" },
    { "CLEANUP_GRACE", "0.25" },
    { "LOG_LEVEL", "INFO" },
    { "GILOTINE_MARK", "the-mark" },
    { "GILOTINE_TRACE", "/trace/socket" },
    { "DUCKDB_QUERY", "select '$$HOME', {rows}" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    g_assert_cmpstr (variable (parsed, "worker-gil-clean-init", expected[i][0]), ==,
                     expected[i][1]);
  g_assert_cmpstr (variable (parsed, "observer", "GILOTINE_TRACE"), ==, "/trace/socket");
  g_assert_cmpstr (variable (parsed, "observer", "GILOTINE_SAMPLE_MS"), ==, "20");
  const json_t *observer = json_object_get (json_object_get (parsed, "services"), "observer");
  g_assert_cmpstr (json_string_value (json_object_get (observer, "pid")), ==,
                   "service:worker-gil-clean-init");
  json_decref (parsed);
}

/* The user's number of threads is the default; a row's own number stays. */
static void
test_users_settings (void)
{
  GtSubject s = subject ();
  json_t *parsed = overlay (&s, "3", "DEBUG");
  g_assert_cmpstr (variable (parsed, "worker-gil-init", "DUCKDB_THREADS"), ==, "3");
  g_assert_cmpstr (variable (parsed, "worker-gil-init", "LOG_LEVEL"), ==, "DEBUG");
  json_decref (parsed);
  s.factors[GT_FACTOR_THREADS] = g_intern_static_string ("2");
  parsed = overlay (&s, "3", NULL);
  g_assert_cmpstr (variable (parsed, "worker-gil-init", "DUCKDB_THREADS"), ==, "2");
  json_decref (parsed);
}

static void
test_env (void)
{
  static const char *const base[]
      = { "PATH=/bin",          "COMPOSE_PROJECT_NAME=mine", "COMPOSE_FILE=x",
          "COMPOSE_PROFILES=a", "RABBITMQ_PORT=72",          NULL };
  g_auto (GStrv) env = gt_compose_env (base, "m");
  g_assert_cmpstr (g_environ_getenv (env, "PATH"), ==, "/bin");
  g_assert_cmpstr (g_environ_getenv (env, "COMPOSE_PROJECT_NAME"), ==, NULL);
  g_assert_cmpstr (g_environ_getenv (env, "COMPOSE_FILE"), ==, NULL);
  g_assert_cmpstr (g_environ_getenv (env, "COMPOSE_PROFILES"), ==, "*");
  g_assert_cmpstr (g_environ_getenv (env, "RABBITMQ_PORT"), ==, "0");
  g_assert_cmpstr (g_environ_getenv (env, "GILOTINE_MARK"), ==, "m");
}

static void
test_port (void)
{
  g_assert_cmpuint (gt_compose_parse_port ("127.0.0.1:32769\n"), ==, 32769);
  g_assert_cmpuint (gt_compose_parse_port ("0.0.0.0:5672\n[::]:5673\n"), ==, 5672);
  g_assert_cmpuint (gt_compose_parse_port ("[::]:1\n"), ==, 1);
  static const char *const wrong[]
      = { "", "\n", "5672", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "a:b", "h:-1" };
  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    g_assert_cmpuint (gt_compose_parse_port (wrong[i]), ==, 0);
}

static void
test_fact (void)
{
  static const char output[] = "some warning\npython=3.14.1\r\ncapi=1.5.6\nmodule=\n";
  g_autofree char *python = gt_compose_fact (output, "python");
  g_autofree char *capi = gt_compose_fact (output, "capi");
  g_assert_cmpstr (python, ==, "3.14.1");
  g_assert_cmpstr (capi, ==, "1.5.6");
  g_assert_null (gt_compose_fact (output, "module"));
  g_assert_null (gt_compose_fact (output, "pyth"));
  g_assert_null (gt_compose_fact ("", "python"));
}

static void
test_last_lines (void)
{
  static const struct {
    const char *text;
    guint n;
    const char *last;
  } rows[] = {
    { "", 3, "" },
    { "\n\n", 3, "" },
    { "one\n", 3, "one" },
    { "one\n  two \r\n\nthree\n\n", 2, "two; three" },
    { "one\ntwo", 9, "one; two" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autofree char *last = gt_compose_last_lines (rows[i].text, rows[i].n);
    g_assert_cmpstr (last, ==, rows[i].last);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/compose-plan/service", test_service);
  g_test_add_func ("/compose-plan/overlay", test_overlay);
  g_test_add_func ("/compose-plan/users-settings", test_users_settings);
  g_test_add_func ("/compose-plan/env", test_env);
  g_test_add_func ("/compose-plan/port", test_port);
  g_test_add_func ("/compose-plan/fact", test_fact);
  g_test_add_func ("/compose-plan/last-lines", test_last_lines);
  return g_test_run ();
}
