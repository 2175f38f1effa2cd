/* Checks of gilotine doctor: the kernel, cgroups, limits, isolation. */
#include "cli/doctor.h"
#include "os/machine.h"
#include "os/machine_cgroup.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* A timer coarser than this misses what is promised for `gilotine run`. */
#define COARSE_CLOCK_NS GT_NSEC_PER_MSEC

/* Fewer descriptors or tasks than this and a pool of executors runs into it. */
#define FEW_FILES 256
#define FEW_TASKS 128

void
gt_check_kernel (GtDoctor *doctor)
{
  struct utsname name;
  if (uname (&name) == 0)
    gt_doctor_add (doctor, GT_MARK_FACT, "Linux", NULL, "%s %s", name.release, name.machine);
  gt_doctor_fact (doctor, "release", gt_doctor_text (name.release));
  gt_doctor_fact (doctor, "machine", gt_doctor_text (name.machine));
  g_autoptr (GString) there = g_string_new (NULL);
  json_t *features = json_object ();
  for (GtKernelFeature f = 0; f < GT_N_KERNEL_FEATURES; f++) {
    int problem = gt_kernel_feature_try (f);
    gboolean unknown = problem == ENOENT && !doctor->has_proc;
    json_object_set_new (features, gt_kernel_feature_name (f),
                         unknown ? json_null () : json_boolean (problem == 0));
    if (unknown)
      continue;
    if (problem == 0)
      g_string_append_printf (there, "%s%s", there->len > 0 ? ", " : "",
                              gt_kernel_feature_name (f));
    else {
      /* Containers refuse what the kernel has: there is no use in a newer one. */
      g_autofree char *advice = g_strdup_printf (
          "Linux %s or newer has it%s", gt_kernel_feature_since (f),
          doctor->container != NULL ? "; a container's seccomp filter may hide it" : "");
      gboolean tuning = f == GT_KERNEL_PSI || f == GT_KERNEL_PIDFD_INFO;
      gt_doctor_add (doctor,
                     f < GT_KERNEL_NEEDED ? GT_MARK_MISSING
                     : tuning             ? GT_MARK_FACT
                                          : GT_MARK_WARN,
                     gt_kernel_feature_name (f), advice, "%s: %s", g_strerror (problem),
                     gt_kernel_feature_without (f));
    }
  }
  gt_doctor_add (doctor, GT_MARK_OK, "features", NULL, "%s", there->str);
  gt_doctor_fact (doctor, "features", features);
}

void
gt_check_clock (GtDoctor *doctor)
{
  struct timespec unit = { 0 };
  clock_getres (CLOCK_MONOTONIC, &unit);
  gint64 ns = (gint64) unit.tv_sec * GT_NSEC_PER_SEC + unit.tv_nsec;
  g_autofree char *source
      = gt_machine_read ("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  gt_doctor_add (doctor, ns > COARSE_CLOCK_NS ? GT_MARK_WARN : GT_MARK_OK, "timers",
                 ns > COARSE_CLOCK_NS ? "use a kernel with CONFIG_HIGH_RES_TIMERS" : NULL,
                 "steps of %" G_GINT64_FORMAT " ns, clock source %s", ns,
                 source != NULL ? source : "unknown");
  gt_doctor_fact (doctor, "resolution_ns", json_integer (ns));
  gt_doctor_fact (doctor, "clock_source", gt_doctor_text (source));
}

void
gt_check_proc (GtDoctor *doctor)
{
  GtProcMount mount = gt_machine_proc_mount ();
  if (!mount.mounted)
    gt_doctor_add (doctor, GT_MARK_MISSING, "/proc",
                   "mount it: mount -t proc proc /proc (as root, or in the container's start)",
                   "not mounted: families cannot be counted or ended");
  else if (mount.hides)
    gt_doctor_add (doctor, GT_MARK_WARN, "/proc",
                   "remount it without hidepid, or with gid= of a group of yours",
                   "hides other users' processes (hidepid)");
  else
    gt_doctor_add (doctor, GT_MARK_OK, "/proc", NULL, "mounted, shows all processes");
  gt_doctor_fact (doctor, "mounted", json_boolean (mount.mounted));
  gt_doctor_fact (doctor, "hides", mount.mounted ? json_boolean (mount.hides) : NULL);
}

void
gt_check_cgroups (GtDoctor *doctor)
{
  GtCgroupLayout layout = gt_hierarchies_layout (doctor->hierarchies);
  const GtHierarchy *v2 = gt_hierarchies_find (doctor->hierarchies, NULL);
  gt_doctor_add (doctor,
                 layout == GT_CGROUPS_NONE || layout == GT_CGROUPS_V1 ? GT_MARK_WARN : GT_MARK_OK,
                 "cgroups",
                 v2 == NULL ? "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 "
                              "none /sys/fs/cgroup (as root)"
                            : NULL,
                 "%s: %s", gt_cgroup_layout_name (layout), gt_cgroup_layout_text (layout));
  gt_doctor_fact (doctor, "layout", gt_doctor_text (gt_cgroup_layout_name (layout)));
  gt_doctor_fact (doctor, "v2_mount", gt_doctor_text (v2 != NULL ? v2->mount : NULL));
  gt_doctor_fact (doctor, "own", gt_doctor_text (v2 != NULL ? v2->own : NULL));
  if (v2 == NULL)
    return;
  int problem = v2->own == NULL ? ENOENT : access (v2->own, W_OK) == 0 ? 0 : errno;
  gt_doctor_fact (doctor, "writable", json_boolean (problem == 0));
  if (v2->own == NULL)
    gt_doctor_add (doctor, GT_MARK_WARN, "our cgroup", NULL,
                   "outside of what %s shows: it cannot be used", v2->mount);
  else
    gt_doctor_add (doctor, problem == 0 ? GT_MARK_OK : GT_MARK_FACT, "our cgroup", NULL, "%s, %s",
                   v2->own,
                   problem == 0        ? "ours to use"
                   : problem == EROFS  ? "mounted read-only"
                   : problem == ENOENT ? "hidden by another mount"
                                       : "belongs to another user");
}

void
gt_check_controllers (GtDoctor *doctor)
{
  /* X (name, what enforces the limit without it) */
  static const struct {
    const char *name, *without;
  } wanted[] = {
    { "memory", "--memory is enforced by looking at the family's memory from time to time" },
    { "pids", "--processes is enforced by counting members from time to time" },
    { "cpu", "not needed: --cpu is a budget of CPU time, counted by the keeper" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++) {
    gboolean v2;
    g_autofree char *folder = gt_hierarchies_enforcer (doctor->hierarchies, wanted[i].name, &v2);
    g_autofree char *label = g_strdup_printf ("%s controller", wanted[i].name);
    gboolean needed = i < 2;
    if (folder != NULL)
      gt_doctor_add (doctor, GT_MARK_OK, label, NULL, "version %d, in %s", v2 ? 2 : 1, folder);
    else
      gt_doctor_add (doctor, needed ? GT_MARK_WARN : GT_MARK_FACT, label,
                     !needed ? NULL
                     : doctor->container != NULL
                         ? "give the container its own limits (docker run --memory, --pids-limit)"
                         : "systemd-run --user --scope -p Delegate=yes gilotine ... brings the "
                           "controllers",
                     "none that we may use; %s", wanted[i].without);
    gt_doctor_fact (doctor, wanted[i].name,
                    folder != NULL ? json_pack ("{si, so}", "version", v2 ? 2 : 1, "folder",
                                                gt_doctor_text (folder))
                                   : NULL);
  }
}

/* Bytes and tasks are whole; < 0: unknown. */
static json_t *
number_json (GtCgroupLimitId id, double value)
{
  if (value < 0)
    return json_null ();
  return id == GT_CGROUP_LIMIT_CPU ? json_real (value) : json_integer ((json_int_t) value);
}

static void
add_limit (GtDoctor *doctor, GtCgroupLimitId id, const char *key, const char *label, double unit,
           const char *unit_name)
{
  g_auto (GtCgroupLimit) limit = { 0 };
  if (!gt_hierarchies_limit (doctor->hierarchies, id, &limit)) {
    gboolean shown = gt_hierarchies_show (doctor->hierarchies, gt_cgroup_limit_controller (id));
    gt_doctor_fact (doctor, key, NULL);
    if (id != GT_CGROUP_LIMIT_MEMORY_HIGH)
      gt_doctor_add (doctor, GT_MARK_FACT, label, NULL,
                     shown ? "none in our cgroups" : "unknown: our cgroups cannot be seen here");
    return;
  }
  g_autofree char *used
      = limit.used >= 0 ? g_strdup_printf (", %.6g used", limit.used / unit) : g_strdup ("");
  gt_doctor_add (doctor, GT_MARK_FACT, label, NULL, "%.6g%s%s (%s)", limit.value / unit, unit_name,
                 used, limit.folder);
  gt_doctor_fact (doctor, key,
                  json_pack ("{so, so, so}", "limit", number_json (id, limit.value), "used",
                             number_json (id, limit.used), "folder",
                             gt_doctor_text (limit.folder)));
}

void
gt_check_limits (GtDoctor *doctor)
{
  const double mib = 1024 * 1024;
  cpu_set_t cpus;
  int n = sched_getaffinity (0, sizeof cpus, &cpus) == 0 ? CPU_COUNT (&cpus) : 0;
  double memory = (double) sysconf (_SC_PHYS_PAGES) * (double) sysconf (_SC_PAGESIZE);
  gt_doctor_add (doctor, GT_MARK_FACT, "machine", NULL, "%d CPUs for us of %ld, %.0f MiB of memory",
                 n, sysconf (_SC_NPROCESSORS_ONLN), memory / mib);
  gt_doctor_fact (doctor, "cpus", json_integer (n));
  gt_doctor_fact (doctor, "machine_memory_bytes", json_integer ((json_int_t) memory));
  gt_doctor_fact (doctor, "memory_known",
                  json_boolean (gt_hierarchies_show (doctor->hierarchies, "memory")));
  add_limit (doctor, GT_CGROUP_LIMIT_MEMORY, "memory_bytes", "memory limit", mib, " MiB");
  add_limit (doctor, GT_CGROUP_LIMIT_MEMORY_HIGH, "memory_high_bytes", "memory throttled", mib,
             " MiB");
  add_limit (doctor, GT_CGROUP_LIMIT_CPU, "cpu_quota", "CPU limit", 1, " CPUs");
  add_limit (doctor, GT_CGROUP_LIMIT_PIDS, "pids", "task limit", 1, " tasks");
}

static char *
rlimit_text (rlim_t value)
{
  return value == RLIM_INFINITY ? g_strdup ("unlimited") : g_strdup_printf ("%lu", (gulong) value);
}

static json_t *
rlimit_json (rlim_t value)
{
  return value == RLIM_INFINITY ? json_null () : json_integer ((json_int_t) value);
}

void
gt_check_rlimits (GtDoctor *doctor)
{
  /* X: what is few, and what then fails. 0 = any limit is worth a word; never = none is. */
  static const struct {
    int resource;
    const char *name, *option;
    rlim_t few;
    const char *advice;
  } rows[] = {
    { RLIMIT_NOFILE, "nofile", "-n", FEW_FILES, "ulimit -n 1024: each executor takes some" },
    { RLIMIT_NPROC, "nproc", "-u", FEW_TASKS,
      "ulimit -u: families share it with all of this user's processes" },
    { RLIMIT_AS, "as", "-v", RLIM_INFINITY,
      "ulimit -v unlimited: DuckDB reserves more address space than it uses" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    struct rlimit value;
    if (getrlimit ((__rlimit_resource_t) rows[i].resource, &value) != 0)
      continue;
    g_autofree char *soft = rlimit_text (value.rlim_cur);
    g_autofree char *hard = rlimit_text (value.rlim_max);
    g_autofree char *label = g_strconcat ("rlimit ", rows[i].name, NULL);
    gboolean few = value.rlim_cur < rows[i].few;
    gt_doctor_add (doctor, few ? GT_MARK_WARN : GT_MARK_FACT, label, few ? rows[i].advice : NULL,
                   "%s (hard: %s)", soft, hard);
    gt_doctor_fact (doctor, rows[i].name,
                    json_pack ("{so, so}", "soft", rlimit_json (value.rlim_cur), "hard",
                               rlimit_json (value.rlim_max)));
  }
}

void
gt_check_core (GtDoctor *doctor)
{
  g_autofree char *pattern = gt_machine_read ("/proc/sys/kernel/core_pattern");
  struct rlimit value = { 0 };
  getrlimit (RLIMIT_CORE, &value);
  g_autofree char *size = rlimit_text (value.rlim_cur);
  gboolean piped = pattern != NULL && pattern[0] == '|';
  gt_doctor_add (doctor, GT_MARK_FACT, "core dumps", NULL, "%s%s, limit %s",
                 piped ? "piped to " : "to ",
                 pattern == NULL    ? "an unknown place"
                 : *pattern == '\0' ? "no name of its own"
                 : piped            ? pattern + 1
                                    : pattern,
                 size);
  gt_doctor_fact (doctor, "pattern", gt_doctor_text (pattern));
  gt_doctor_fact (doctor, "limit_bytes", rlimit_json (value.rlim_cur));
}

void
gt_check_container (GtDoctor *doctor)
{
  g_autofree char *evidence = NULL;
  g_autofree char *name = gt_machine_container (&evidence);
  int first = gt_machine_is_initial_namespace ("pid");
  if (name != NULL)
    gt_doctor_add (doctor, GT_MARK_FACT, "container", NULL, "%s (seen by %s)", name, evidence);
  else
    gt_doctor_add (doctor, GT_MARK_FACT, "container", NULL, "none%s",
                   first == 0 ? " that is known, but we are in a PID namespace" : "");
  gt_doctor_fact (doctor, "engine", gt_doctor_text (name));
  gt_doctor_fact (doctor, "evidence", gt_doctor_text (evidence));
  gt_doctor_fact (doctor, "own_pid_namespace", first < 0 ? NULL : json_boolean (!first));
}

void
gt_check_seccomp (GtDoctor *doctor)
{
  static const char *const modes[] = { "off", "strict", "filter" };
  g_autofree char *text = gt_machine_status ("Seccomp");
  g_autofree char *nnp = gt_machine_status ("NoNewPrivs");
  guint64 mode;
  gboolean known = text != NULL && g_ascii_string_to_unsigned (text, 10, 0, 2, &mode, NULL);
  gboolean no_new = nnp != NULL && g_str_equal (nnp, "1");
  gt_doctor_add (doctor, GT_MARK_FACT, "seccomp", NULL, "%s", known ? modes[mode] : "unknown");
  gt_doctor_add (doctor, GT_MARK_FACT, "no_new_privs", NULL, "%s",
                 nnp == NULL ? "unknown"
                 : no_new    ? "set: set-user-ID programs do not work"
                             : "off");
  gt_doctor_fact (doctor, "mode", known ? json_string (modes[mode]) : NULL);
  gt_doctor_fact (doctor, "no_new_privs", nnp != NULL ? json_boolean (no_new) : NULL);
}

void
gt_check_landlock (GtDoctor *doctor)
{
  int abi = gt_machine_landlock ();
  int problem = errno;
  if (abi > 0)
    gt_doctor_add (doctor, GT_MARK_OK, "Landlock", NULL, "ABI %d", abi);
  else
    gt_doctor_add (doctor, GT_MARK_FACT, "Landlock", NULL, "none (%s)", g_strerror (problem));
  gt_doctor_fact (doctor, "abi", json_integer (abi));
}

void
gt_check_privileges (GtDoctor *doctor)
{
  guint64 effective = gt_machine_effective ();
  g_autoptr (GString) held = g_string_new (NULL), lacking = g_string_new (NULL);
  json_t *names = json_object ();
  for (const GtCapability *c = gt_machine_capabilities (); c->name != NULL; c++) {
    gboolean has = effective >> c->number & 1;
    GString *list = has ? held : lacking;
    g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", c->name);
    json_object_set_new (names, c->name, json_boolean (has));
  }
  gt_doctor_add (doctor, GT_MARK_FACT, "user", NULL, "%u%s", (guint) geteuid (),
                 gt_machine_is_initial_namespace ("user") == 0 ? ", in a user namespace" : "");
  gt_doctor_add (doctor, GT_MARK_FACT, "capabilities", NULL, "%s%s%s",
                 held->len > 0 ? held->str : "none that matters", lacking->len > 0 ? "; not " : "",
                 lacking->str);
  gt_doctor_fact (doctor, "uid", json_integer (geteuid ()));
  gt_doctor_fact (doctor, "capabilities", names);
}
