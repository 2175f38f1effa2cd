#include "lab/worker.h"

#include <string.h>

/* Inherited values of these would make a subject something else than its row says. DUCKDB_THREADS
 * and LOG_LEVEL are the user's to set. */
static const char *const dropped[] = { "GIL_MODE",         "TIMEOUT_USE_SIGNALS",
                                       "CLEANUP_CHILDREN", "MP_START_METHOD",
                                       "DUCKDB_DRIVER",    "DUCKDB_QUERY",
                                       "DUCKDB_LIBRARY",   "SUBJECT_SIGTERM",
                                       "SUBJECT_ORPHAN",   "CLEANUP_GRACE",
                                       "SETTLE",           "GILOTINE_TRACE",
                                       "GILOTINE_MARK",    NULL };

char **
gt_worker_argv (const GtSubject *subject, const GtRuntimes *runtimes,
                const GtWorkerContext *context)
{
  GPtrArray *argv = g_ptr_array_new ();
  const char *level = g_getenv ("LOG_LEVEL");
  const char *const fixed[] = {
    gt_runtimes_python (runtimes, subject->factors[GT_FACTOR_RUNTIME]),
    "-m",
    "celery",
    "-A",
    "tasks",
    "worker",
    "-P",
    subject->factors[GT_FACTOR_POOL],
    "-c",
    "1",
    "-Q",
    context->queue,
    "-l",
    level != NULL ? level : "INFO",
    /* Chatter between workers: it costs each start a second and changes nothing of the question. */
    "--without-gossip",
    "--without-mingle",
    "--without-heartbeat",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (argv, g_strdup (fixed[i]));
  g_ptr_array_add (argv, g_strdup ("-n"));
  g_ptr_array_add (argv, g_strdup_printf ("worker_%s@%%h", subject->name));
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_free (argv, FALSE);
}

static char **
clean_environment (void)
{
  char **env = g_get_environ ();
  g_auto (GStrv) names = g_listenv ();
  for (char **name = names; *name != NULL; name++)
    if (g_str_has_prefix (*name, "PYTHON") || g_str_has_prefix (*name, "CELERY")
        || g_strv_contains (dropped, *name))
      env = g_environ_unsetenv (env, *name);
  return env;
}

static char **
set_number (char **env, const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  return g_environ_setenv (env, name, g_ascii_dtostr (text, sizeof text, value), TRUE);
}

char **
gt_worker_env (const GtSubject *subject, const GtRuntimes *runtimes, const GtWorkerContext *context)
{
  const char *strategy = subject->factors[GT_FACTOR_STRATEGY];
  const char *library = gt_runtimes_duckdb_library (runtimes);
  const char *const pairs[][2] = {
    { "PYTHONPATH", context->subject_dir },
    { "PYTHONUNBUFFERED", "1" },
    { "PYTHONDONTWRITEBYTECODE", "1" },
    { "CELERY_BROKER_URL", context->broker_url },
    { "CELERY_RESULT_BACKEND", "rpc://" },
    { "GIL_MODE", subject->factors[GT_FACTOR_RUNTIME] },
    { "TIMEOUT_USE_SIGNALS", strcmp (strategy, "signals") == 0 ? "1" : "0" },
    { "CLEANUP_CHILDREN", strcmp (strategy, "clean") == 0 ? "1" : "0" },
    { "MP_START_METHOD", subject->factors[GT_FACTOR_START] },
    { "DUCKDB_DRIVER", subject->factors[GT_FACTOR_DRIVER] },
    { "DUCKDB_QUERY", subject->factors[GT_FACTOR_QUERY] },
    { "DUCKDB_LIBRARY", library != NULL ? library : "" },
    { "SUBJECT_SIGTERM", subject->factors[GT_FACTOR_SIGTERM] },
    { "SUBJECT_ORPHAN", strcmp (subject->factors[GT_FACTOR_ORPHAN], "yes") == 0 ? "1" : "0" },
    { "GILOTINE_TRACE", context->trace_path },
    { "GILOTINE_MARK", context->mark },
  };
  char **env = clean_environment ();
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    env = g_environ_setenv (env, pairs[i][0], pairs[i][1], TRUE);
  /* The user's DUCKDB_THREADS moves the default; a row that asks for a number gets that. */
  const char *threads = subject->factors[GT_FACTOR_THREADS];
  env = g_environ_setenv (env, "DUCKDB_THREADS", threads, !g_str_equal (threads, "1"));
  return set_number (env, "CLEANUP_GRACE", subject->settings[GT_SETTING_GRACE]);
}
