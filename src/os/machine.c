#include "os/machine.h"

#include "os/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROC_MAGIC 0x9fa0
/* Inodes that the kernel gives the first namespaces (include/linux/proc_ns.h). */
#define FIRST_USER_NS   "user:[4026531837]"
#define FIRST_PID_NS    "pid:[4026531836]"
#define FIRST_CGROUP_NS "cgroup:[4026531835]"
#define READ_LIMIT      ((gsize) 64 * 1024)

char *
gt_machine_read (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  char buffer[4096];
  ssize_t n;
  while (text->len < READ_LIMIT && (n = read (fd, buffer, sizeof buffer)) != 0) {
    if (n < 0) {
      int problem = errno;
      close (fd);
      errno = problem;
      return NULL;
    }
    g_string_append_len (text, buffer, n);
  }
  close (fd);
  while (text->len > 0 && text->str[text->len - 1] == '\n')
    g_string_truncate (text, text->len - 1);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static int
try_pidfd (void)
{
  int fd = gt_pidfd_open (getpid ());
  if (fd < 0)
    return errno;
  /* Handles are of use only where waitid takes them (5.4); we are no child of ours. */
  siginfo_t info;
  int problem = waitid ((idtype_t) P_PIDFD, (id_t) fd, &info, WEXITED | WNOHANG) == 0 ? 0 : errno;
  close (fd);
  return problem == ECHILD ? 0 : problem;
}

static int
try_subreaper (void)
{
  int value;
  return prctl (PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0) == 0 ? 0 : errno;
}

static int
try_clone3 (void)
{
  /* A size of 0 is refused before anything is made. */
  return syscall (SYS_clone3, NULL, (size_t) 0) == 0 || errno == EINVAL ? 0 : errno;
}

static int
try_clone_into_cgroup (void)
{
  /* A descriptor nobody has: a kernel that knows the flag finds that out (EBADF) before it makes a
   * process; one that does not refuses the longer struct. */
  struct clone_args args
      = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = INT_MAX };
  long pid = syscall (SYS_clone3, &args, (size_t) CLONE_ARGS_SIZE_VER2);
  if (pid == 0)
    _exit (0);
  return pid < 0 && errno == EBADF ? 0 : pid < 0 ? errno : EINVAL;
}

static int
try_close_range (void)
{
  /* first > last: EINVAL, nothing is closed. */
  return syscall (SYS_close_range, 1U, 0U, 0U) == 0 || errno == EINVAL ? 0 : errno;
}

static int
try_memfd (void)
{
  int fd = memfd_create ("gilotine-doctor", MFD_CLOEXEC);
  if (fd < 0)
    return errno;
  close (fd);
  return 0;
}

static int
try_pidfd_info (void)
{
  struct {
    guint64 mask, cgroup_id;
    guint32 pid, tgid, ppid, ids[9];
  } info = { .mask = 1 }; /* the first 64 bytes: PIDFD_INFO_SIZE_VER0 */
  int fd = gt_pidfd_open (getpid ());
  if (fd < 0)
    return errno;
  int problem = ioctl (fd, _IOC (_IOC_READ | _IOC_WRITE, 0xFF, 11, 64), &info) == 0 ? 0 : errno;
  close (fd);
  return problem != 0 || info.tgid == (guint32) getpid () ? problem : EINVAL;
}

static int
try_proc_children (void)
{
  return access ("/proc/thread-self/children", R_OK) == 0 ? 0 : errno;
}

static int
try_psi (void)
{
  g_autofree char *text = gt_machine_read ("/proc/pressure/memory");
  return text != NULL ? 0 : errno;
}

static int
try_sched_slice (void)
{
  struct {
    guint32 size, policy;
    guint64 flags;
    gint32 nice;
    guint32 priority;
    guint64 runtime_ns, deadline_ns, period_ns;
  } attr = { 0 };
  if (syscall (SYS_sched_getattr, 0, &attr, (guint) sizeof attr, 0U) != 0)
    return errno;
  /* Kernels with the feature report the slice of ordinary processes, older ones 0. */
  return attr.runtime_ns != 0 ? 0 : EOPNOTSUPP;
}

static const struct {
  const char *name, *since, *without;
} features[] = {
#define X(id, name, since, without) { name, since, without },
  GT_KERNEL_FEATURES (X)
#undef X
};

const char *
gt_kernel_feature_name (GtKernelFeature feature)
{
  return features[feature].name;
}

const char *
gt_kernel_feature_since (GtKernelFeature feature)
{
  return features[feature].since;
}

const char *
gt_kernel_feature_without (GtKernelFeature feature)
{
  return features[feature].without;
}

int
gt_kernel_feature_try (GtKernelFeature feature)
{
  static int (*const tries[GT_N_KERNEL_FEATURES]) (void) = {
    [GT_KERNEL_PIDFD] = try_pidfd,
    [GT_KERNEL_SUBREAPER] = try_subreaper,
    [GT_KERNEL_CLONE3] = try_clone3,
    [GT_KERNEL_CLONE_INTO_CGROUP] = try_clone_into_cgroup,
    [GT_KERNEL_CLOSE_RANGE] = try_close_range,
    [GT_KERNEL_MEMFD] = try_memfd,
    [GT_KERNEL_PIDFD_INFO] = try_pidfd_info,
    [GT_KERNEL_PROC_CHILDREN] = try_proc_children,
    [GT_KERNEL_PSI] = try_psi,
    [GT_KERNEL_SCHED_SLICE] = try_sched_slice,
  };
  return tries[feature]();
}

int
gt_machine_landlock (void)
{
  long abi = syscall (SYS_landlock_create_ruleset, NULL, (size_t) 0, 1U /* VERSION */);
  return abi > 0 ? (int) abi : 0;
}

const GtCapability *
gt_machine_capabilities (void)
{
  static const GtCapability capabilities[] = {
#define X(name, number, gives) { #name, number, gives },
    GT_CAPABILITIES (X)
#undef X
        { NULL, 0, NULL },
  };
  return capabilities;
}

guint64
gt_machine_effective (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2] = { { 0 } };
  if (syscall (SYS_capget, &header, data) != 0)
    return 0;
  return (guint64) data[1].effective << 32 | data[0].effective;
}

char *
gt_machine_status (const char *field)
{
  g_autofree char *text = gt_machine_read ("/proc/self/status");
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", -1);
  gsize length = strlen (field);
  for (char **line = lines; *line != NULL; line++)
    if (strncmp (*line, field, length) == 0 && (*line)[length] == ':')
      return g_strdup (g_strstrip (*line + length + 1));
  return NULL;
}

/* Where a container shows itself. X (kind of clue, where, what it means; NULL = its text) */
#define CLUES(X)                                                                                   \
  X (FILE, "/.dockerenv", "docker")                                                                \
  X (FILE, "/run/.containerenv", "podman")                                                         \
  X (ENVIRONMENT, "KUBERNETES_SERVICE_HOST", "kubernetes")                                         \
  X (CGROUP, "/kubepods", "kubernetes")                                                            \
  X (CGROUP, "/docker", "docker")                                                                  \
  X (CGROUP, "/libpod-", "podman")                                                                 \
  X (CGROUP, "/lxc/", "lxc")                                                                       \
  X (TEXT, "/run/systemd/container", NULL)                                                         \
  X (ENVIRONMENT, "container", NULL)

typedef enum { CLUE_FILE, CLUE_TEXT, CLUE_ENVIRONMENT, CLUE_CGROUP } Clue;

char *
gt_machine_container (char **evidence)
{
  static const struct {
    Clue kind;
    const char *where, *meaning;
  } clues[] = {
#define X(kind, where, meaning) { CLUE_##kind, where, meaning },
    CLUES (X)
#undef X
  };
  g_autofree char *cgroups = gt_machine_read ("/proc/self/cgroup");
  /* Disks of virtual machines are made from container images, with their marker files. */
  gboolean outside = gt_machine_is_initial_namespace ("pid") == 1
                     && gt_machine_is_initial_namespace ("cgroup") == 1;
  for (guint i = 0; i < G_N_ELEMENTS (clues); i++) {
    g_autofree char *text = NULL;
    if (clues[i].kind == CLUE_FILE && !outside && access (clues[i].where, F_OK) == 0)
      text = g_strdup ("");
    else if (clues[i].kind == CLUE_TEXT)
      text = gt_machine_read (clues[i].where);
    else if (clues[i].kind == CLUE_ENVIRONMENT)
      text = g_strdup (g_getenv (clues[i].where));
    else if (clues[i].kind == CLUE_CGROUP && cgroups != NULL && strstr (cgroups, clues[i].where))
      text = g_strdup ("");
    if (text == NULL || (clues[i].meaning == NULL && *text == '\0'))
      continue;
    if (evidence != NULL)
      *evidence = g_strdup (clues[i].where);
    return g_strdup (clues[i].meaning != NULL ? clues[i].meaning : text);
  }
  return NULL;
}

int
gt_machine_is_initial_namespace (const char *kind)
{
  static const char *const first[] = { FIRST_USER_NS, FIRST_PID_NS, FIRST_CGROUP_NS };
  g_autofree char *path = g_strconcat ("/proc/self/ns/", kind, NULL);
  g_autofree char *name = g_file_read_link (path, NULL);
  if (name == NULL)
    return -1;
  for (guint i = 0; i < G_N_ELEMENTS (first); i++)
    if (strcmp (name, first[i]) == 0)
      return 1;
  return 0;
}

GtProcMount
gt_machine_proc_mount (void)
{
  GtProcMount mount = { 0 };
  struct statfs info;
  mount.mounted = statfs ("/proc", &info) == 0 && info.f_type == PROC_MAGIC;
  if (!mount.mounted)
    return mount;
  /* PID 1 of somebody else: visible unless it is hidden. Root and the proc group see everything. */
  mount.hides = access ("/proc/1", F_OK) != 0 || access ("/proc/1/stat", R_OK) != 0;
  return mount;
}
