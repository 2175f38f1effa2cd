/* Limits as a command line and the environment give them: texts separated by NUL, in the order of
 * `Texts`. What comes of them keeps the rules of deadline/limits.h. */
#include "deadline/limits.h"
#include "os/parse.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

enum { SOFT, HARD, MEMORY, CPU, PROCESSES, INHERITED, CGROUP, MACHINE, N_TEXTS };

static gint64
duration (const char *text)
{
  gint64 ns = 0;
  return gt_parse_duration (text, &ns) && ns < G_MAXINT64 ? ns : 0;
}

static gint64
number (const char *text)
{
  guint64 value = 0;
  return gt_parse_size (text, &value) || gt_parse_count (text, &value) ? (gint64) value : 0;
}

static void
check (const GtLimitsAsked *asked, const GtLimitsWorld *world, const GtLimits *limits)
{
  g_assert_true (limits->soft.ns == G_MAXINT64 || limits->soft.ns < limits->hard.ns);
  g_assert_true (limits->hard.ns <= world->inherited.ns);
  if (asked->hard_ns > 0)
    g_assert_cmpint (limits->hard.ns, <=, gt_instant_add (world->now, asked->hard_ns).ns);
  if (asked->memory_bytes > 0)
    g_assert_true (limits->memory_bytes > 0 && limits->memory_bytes <= asked->memory_bytes);
  if (world->cgroup_memory_bytes > 0)
    g_assert_cmpint (limits->memory_bytes, <=, world->cgroup_memory_bytes);
  for (int id = 0; id < GT_LIMIT_COUNT; id++) {
    g_autofree char *text = gt_limits_explain (limits, (GtLimitId) id);
    g_assert_true (g_str_has_prefix (text, gt_limit_name ((GtLimitId) id)));
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *texts[N_TEXTS] = { 0 };
  size_t at = 0;
  for (int i = 0; i < N_TEXTS; i++) {
    texts[i] = g_strndup ((const char *) data + MIN (at, size), size - MIN (at, size));
    at += strlen (texts[i]) + 1;
  }
  g_autoptr (GError) error = NULL;
  GtLimitsAsked asked = { .soft_ns = duration (texts[SOFT]),
                          .hard_ns = duration (texts[HARD]),
                          .memory_bytes = number (texts[MEMORY]),
                          .cpu_ns = duration (texts[CPU]),
                          .processes = number (texts[PROCESSES]) };
  GtLimitsWorld world = { .now = { 1000 * GT_NSEC_PER_SEC },
                          .inherited = GT_NEVER,
                          .cgroup_memory_bytes = number (texts[CGROUP]),
                          .machine_memory_bytes = number (texts[MACHINE]) };
  GtLimits limits = GT_LIMITS_NONE;
  gboolean known = gt_limits_inherited (texts[INHERITED], &world.inherited, &error);
  g_assert_true (known == (error == NULL));
  if (known && gt_limits_make (&asked, &world, &limits, &error))
    check (&asked, &world, &limits);
  else
    g_assert_nonnull (error);
  for (int i = 0; i < N_TEXTS; i++)
    g_free (texts[i]);
  return 0;
}
