#include "lab/compose_plan.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define WORKER_PREFIX "worker-"

/* The volume that a worker and its observer share, and the socket for trace events in it. */
#define TRACE_DIR    "/trace"
#define TRACE_SOCKET TRACE_DIR "/socket"

static gboolean
factor_is (const GtSubject *subject, GtFactor factor, const char *value)
{
  return g_str_equal (subject->factors[factor], value);
}

char *
gt_compose_service (const GtSubject *subject)
{
  const gboolean prefork = factor_is (subject, GT_FACTOR_POOL, "prefork");
  const gboolean gil = factor_is (subject, GT_FACTOR_RUNTIME, "gil");
  return g_strconcat (WORKER_PREFIX,
                      prefork && gil ? "prefork" : subject->factors[GT_FACTOR_RUNTIME],
                      prefork && !gil ? "-prefork" : "",
                      factor_is (subject, GT_FACTOR_STRATEGY, "clean") ? "-clean" : "",
                      factor_is (subject, GT_FACTOR_REAPER, "init") ? "-init" : "", NULL);
}

const char *
gt_compose_queue (const char *service)
{
  return g_str_has_prefix (service, WORKER_PREFIX) ? service + strlen (WORKER_PREFIX) : service;
}

const char *
gt_compose_reaper (const GtSubject *subject)
{
  return factor_is (subject, GT_FACTOR_REAPER, "init") ? "docker-init" : "nobody";
}

/* Compose reads $NAME in values; what is meant literally has two. */
static json_t *
literal (const char *text)
{
  g_auto (GStrv) parts = g_strsplit (text, "$", -1);
  g_autofree char *escaped = g_strjoinv ("$$", parts);
  return json_string (escaped);
}

static json_t *
worker_environment (const GtSubject *subject, const char *mark, const char *threads,
                    const char *level)
{
  char grace[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_dtostr (grace, sizeof grace, subject->settings[GT_SETTING_GRACE]);
  /* The user's number of threads moves the default; a row that asks for a number gets that. */
  const char *wanted = subject->factors[GT_FACTOR_THREADS];
  const char *const pairs[][2] = {
    { "TIMEOUT_USE_SIGNALS", factor_is (subject, GT_FACTOR_STRATEGY, "signals") ? "1" : "0" },
    { "CLEANUP_CHILDREN", factor_is (subject, GT_FACTOR_STRATEGY, "clean") ? "1" : "0" },
    { "MP_START_METHOD", subject->factors[GT_FACTOR_START] },
    { "DUCKDB_DRIVER", subject->factors[GT_FACTOR_DRIVER] },
    { "DUCKDB_QUERY", subject->factors[GT_FACTOR_QUERY] },
    { "DUCKDB_THREADS", threads != NULL && g_str_equal (wanted, "1") ? threads : wanted },
    { "SUBJECT_SIGTERM", subject->factors[GT_FACTOR_SIGTERM] },
    { "SUBJECT_ORPHAN", factor_is (subject, GT_FACTOR_ORPHAN, "yes") ? "1" : "0" },
    { "CLEANUP_GRACE", grace },
    { "LOG_LEVEL", level != NULL ? level : "INFO" },
    { "GILOTINE_TRACE", TRACE_SOCKET },
    { "GILOTINE_MARK", mark },
  };
  json_t *environment = json_object ();
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    json_object_set_new (environment, pairs[i][0], literal (pairs[i][1]));
  return environment;
}

char *
gt_compose_overlay (const GtSubject *subject, const char *mark, const char *threads,
                    const char *level)
{
  g_autofree char *service = gt_compose_service (subject);
  g_autofree char *pid = g_strconcat ("service:", service, NULL);
  g_autofree char *sample_ms
      = g_strdup_printf ("%d", (int) subject->settings[GT_SETTING_SAMPLE_MS]);
  json_t *worker = json_pack ("{so s[s] ss}", "environment",
                              worker_environment (subject, mark, threads, level), "volumes",
                              "trace:" TRACE_DIR,
                              /* What burns does not end when it is asked. */
                              "stop_grace_period", "0s");
  json_t *observer = json_pack ("{s{ss ss ss} s[s] ss}", "environment", "GILOTINE_TRACE",
                                TRACE_SOCKET, "GILOTINE_SAMPLE_MS", sample_ms, "GILOTINE_MARK",
                                mark, "volumes", "trace:" TRACE_DIR, "pid", pid);
  /* In memory and open to all: neither container runs as root, and the observer may run as another
   * user than the worker. */
  json_t *overlay
      = json_pack ("{s{so so} s{s{ss s{ss ss ss}}}}", "services", service, worker, "observer",
                   observer, "volumes", "trace", "driver", "local", "driver_opts", "type", "tmpfs",
                   "device", "tmpfs", "o", "mode=1777,size=1m");
  char *text = json_dumps (overlay, JSON_INDENT (2));
  char *copy = g_strdup (text);
  free (text);
  json_decref (overlay);
  return copy;
}

char **
gt_compose_env (const char *const *base, const char *mark)
{
  static const char *const pairs[][2] = {
    { "COMPOSE_PROFILES", "*" }, { "COMPOSE_ANSI", "never" }, { "COMPOSE_PROGRESS", "plain" },
    { "RABBITMQ_PORT", "0" },    { "RABBITMQ_UI_PORT", "0" }, { "DOCKER_CLI_HINTS", "false" },
  };
  char **env = g_strdupv ((char **) base);
  for (const char *const *entry = base; *entry != NULL; entry++)
    if (g_str_has_prefix (*entry, "COMPOSE_")) {
      g_autofree char *name = g_strndup (*entry, strcspn (*entry, "="));
      env = g_environ_unsetenv (env, name);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    env = g_environ_setenv (env, pairs[i][0], pairs[i][1], TRUE);
  return g_environ_setenv (env, "GILOTINE_MARK", mark, TRUE);
}

guint
gt_compose_parse_port (const char *output)
{
  g_autofree char *line = g_strndup (output, strcspn (output, "\r\n"));
  const char *colon = strrchr (line, ':');
  guint64 port;
  return colon != NULL && g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT16, &port, NULL)
             ? (guint) port
             : 0;
}

char *
gt_compose_fact (const char *output, const char *key)
{
  g_auto (GStrv) lines = g_strsplit_set (output, "\r\n", -1);
  const gsize length = strlen (key);
  for (char **line = lines; *line != NULL; line++)
    if (g_str_has_prefix (*line, key) && (*line)[length] == '=' && (*line)[length + 1] != '\0')
      return g_strdup (*line + length + 1);
  return NULL;
}

char *
gt_compose_last_lines (const char *output, guint n)
{
  g_auto (GStrv) lines = g_strsplit_set (output, "\r\n", -1);
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();
  for (guint i = g_strv_length (lines); i-- > 0 && kept->len < n;)
    if (*g_strstrip (lines[i]) != '\0')
      g_ptr_array_insert (kept, 0, lines[i]);
  g_ptr_array_add (kept, NULL);
  return g_strjoinv ("; ", (char **) kept->pdata);
}
