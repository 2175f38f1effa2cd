#include "deadline/limits.h"

#include "deadline/error.h"

#include <string.h>

static const char *const names[GT_LIMIT_COUNT] = {
#define X(id, name, unit) [GT_LIMIT_##id] = (name),
  GT_LIMITS (X)
#undef X
};

const char *
gt_limit_name (GtLimitId id)
{
  g_return_val_if_fail (id < GT_LIMIT_COUNT, NULL);
  return names[id];
}

const char *
gt_limit_source_name (GtLimitSource source)
{
  static const char *const sources[] = {
#define X(id, name) [GT_LIMIT_FROM_##id] = (name),
    GT_LIMIT_SOURCES (X)
#undef X
  };
  return sources[source];
}

gboolean
gt_limits_inherited (const char *text, GtInstant *deadline, GError **error)
{
  *deadline = GT_NEVER;
  if (text == NULL || text[0] == '\0')
    return TRUE;
  gint64 ns;
  if (g_ascii_string_to_signed (text, 10, 0, G_MAXINT64, &ns, NULL)) {
    deadline->ns = ns;
    return TRUE;
  }
  g_set_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_ENVIRONMENT,
               GT_DEADLINE_ENV "=%s is not an instant of CLOCK_MONOTONIC in nanoseconds: unset it, "
                               "or set it to a whole number",
               text);
  return FALSE;
}

static gint64
asked_value (const GtLimitsAsked *asked, GtLimitId id)
{
  const gint64 values[GT_LIMIT_COUNT] = {
    [GT_LIMIT_SOFT] = asked->soft_ns,        [GT_LIMIT_HARD] = asked->hard_ns,
    [GT_LIMIT_MEMORY] = asked->memory_bytes, [GT_LIMIT_CPU] = asked->cpu_ns,
    [GT_LIMIT_PROCESSES] = asked->processes,
  };
  g_assert (id < GT_LIMIT_COUNT);
  return values[id];
}

static gboolean
contradiction (GError **error, const char *text)
{
  g_set_error_literal (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_CONTRADICTION, text);
  return FALSE;
}

static char *
seconds (gint64 ns)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];
  g_ascii_formatd (digits, sizeof digits, "%.6g", (double) ns / 1e9);
  return g_strdup_printf ("%s s", digits);
}

static gboolean
check (const GtLimitsAsked *asked, const GtLimitsWorld *world, GError **error)
{
  for (guint id = 0; id < GT_LIMIT_COUNT; id++) {
    gint64 value = asked_value (asked, (GtLimitId) id);
    if (value < 0) {
      g_set_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_CONTRADICTION,
                   "the %s limit is negative: give a positive one, or 0 for none", names[id]);
      return FALSE;
    }
    if (value > 0 && (world->cannot & (1U << id)) != 0) {
      g_set_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_UNENFORCEABLE,
                   "the %s limit cannot be enforced here (%s): leave it out, or choose a domain "
                   "that can (gilotine doctor lists them)",
                   names[id], world->why != NULL ? world->why : "no means to do it");
      return FALSE;
    }
  }
  if (asked->soft_ns > 0 && asked->hard_ns == 0 && world->inherited.ns == GT_NEVER.ns)
    return contradiction (error, "a soft limit alone does not hold, because a job may ignore it: "
                                 "give a hard limit too");
  if (asked->soft_ns > 0 && asked->hard_ns > 0 && asked->soft_ns >= asked->hard_ns) {
    g_autofree char *soft = seconds (asked->soft_ns), *hard = seconds (asked->hard_ns);
    g_set_error (error, GT_DEADLINE_ERROR, GT_DEADLINE_ERROR_CONTRADICTION,
                 "the soft limit (%s) is not before the hard limit (%s): the difference is the "
                 "time a job has to stop by itself",
                 soft, hard);
    return FALSE;
  }
  return TRUE;
}

static void
combine_times (const GtLimitsAsked *asked, const GtLimitsWorld *world, GtLimits *limits)
{
  limits->soft = limits->hard = GT_NEVER;
  if (asked->hard_ns > 0) {
    limits->hard = gt_instant_add (world->now, asked->hard_ns);
    limits->from[GT_LIMIT_HARD] = GT_LIMIT_FROM_OPTION;
  }
  if (world->inherited.ns < limits->hard.ns) {
    limits->hard = world->inherited;
    limits->from[GT_LIMIT_HARD] = GT_LIMIT_FROM_ENVIRONMENT;
  }
  if (asked->soft_ns == 0)
    return;
  GtInstant soft = gt_instant_add (world->now, asked->soft_ns);
  if (soft.ns >= limits->hard.ns) /* only by inheritance: check() has seen to the rest */
    return;
  limits->soft = soft;
  limits->from[GT_LIMIT_SOFT] = GT_LIMIT_FROM_OPTION;
}

static void
take_smaller (gint64 *value, GtLimitSource *from, gint64 other, GtLimitSource source)
{
  if (other <= 0 || (*value > 0 && *value <= other))
    return;
  *value = other;
  *from = source;
}

gboolean
gt_limits_make (const GtLimitsAsked *asked, const GtLimitsWorld *world, GtLimits *limits,
                GError **error)
{
  *limits = (GtLimits) GT_LIMITS_NONE;
  if (!check (asked, world, error))
    return FALSE;
  limits->asked = *asked;
  limits->made = world->now;
  combine_times (asked, world, limits);
  GtLimitSource *from = limits->from;
  take_smaller (&limits->memory_bytes, &from[GT_LIMIT_MEMORY], asked->memory_bytes,
                GT_LIMIT_FROM_OPTION);
  take_smaller (&limits->memory_bytes, &from[GT_LIMIT_MEMORY], world->cgroup_memory_bytes,
                GT_LIMIT_FROM_CGROUP);
  take_smaller (&limits->memory_bytes, &from[GT_LIMIT_MEMORY], world->machine_memory_bytes,
                GT_LIMIT_FROM_MACHINE);
  take_smaller (&limits->cpu_ns, &from[GT_LIMIT_CPU], asked->cpu_ns, GT_LIMIT_FROM_OPTION);
  take_smaller (&limits->processes, &from[GT_LIMIT_PROCESSES], asked->processes,
                GT_LIMIT_FROM_OPTION);
  take_smaller (&limits->processes, &from[GT_LIMIT_PROCESSES], world->cgroup_processes,
                GT_LIMIT_FROM_CGROUP);
  return TRUE;
}

static char *
quantity (GtLimitId id, gint64 value)
{
  switch (id) {
  case GT_LIMIT_SOFT:
  case GT_LIMIT_HARD:
  case GT_LIMIT_CPU:
    return seconds (value);
  case GT_LIMIT_MEMORY:
    return g_format_size_full ((guint64) value, G_FORMAT_SIZE_IEC_UNITS);
  case GT_LIMIT_PROCESSES:
  case GT_LIMIT_COUNT:
    break;
  }
  return g_strdup_printf ("%" G_GINT64_FORMAT, value);
}

static gint64
value_in_force (const GtLimits *limits, GtLimitId id)
{
  const gint64 values[GT_LIMIT_COUNT] = {
    [GT_LIMIT_SOFT] = limits->soft.ns - limits->made.ns,
    [GT_LIMIT_HARD] = limits->hard.ns - limits->made.ns,
    [GT_LIMIT_MEMORY] = limits->memory_bytes,
    [GT_LIMIT_CPU] = limits->cpu_ns,
    [GT_LIMIT_PROCESSES] = limits->processes,
  };
  g_assert (id < GT_LIMIT_COUNT);
  return values[id];
}

char *
gt_limits_explain (const GtLimits *limits, GtLimitId id)
{
  g_return_val_if_fail (id < GT_LIMIT_COUNT, NULL);
  gint64 asked = asked_value (&limits->asked, id);
  GtLimitSource from = limits->from[id];
  g_autofree char *wanted = quantity (id, asked);
  if (from == GT_LIMIT_FROM_NONE)
    return asked == 0 ? g_strdup_printf ("%s: none", names[id])
                      : g_strdup_printf ("%s: none (the option asked for %s; the hard limit, from "
                                         "the environment, comes first)",
                                         names[id], wanted);
  g_autofree char *value = quantity (id, value_in_force (limits, id));
  const char *variable = from == GT_LIMIT_FROM_ENVIRONMENT ? " " GT_DEADLINE_ENV : "";
  if (from == GT_LIMIT_FROM_OPTION || asked == 0)
    return g_strdup_printf ("%s: %s (%s%s)", names[id], value, gt_limit_source_name (from),
                            variable);
  return g_strdup_printf ("%s: %s (%s%s; the option asked for %s)", names[id], value,
                          gt_limit_source_name (from), variable, wanted);
}
