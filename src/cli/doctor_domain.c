/* Checks of gilotine doctor: namespaces and kill domains, by starting a family in each. */
#include "cli/doctor.h"
#include "os/domain.h"
#include "os/machine.h"
#include "os/paths.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* NULL when the domain works. The probe's own words without the "domain NAME: " that the row says
 * already. Free with g_free(). */
static char *
why_not (const GtDoctor *doctor, GtDomain domain)
{
  g_autoptr (GError) error = NULL;
  if (doctor->blocked != NULL)
    return g_strdup_printf ("not tried: %s", doctor->blocked);
  if (gt_domain_probe (domain, &error))
    return NULL;
  const char *colon
      = g_str_has_prefix (error->message, "domain ") ? strchr (error->message, ':') : NULL;
  return g_strdup (colon != NULL ? colon + 2 : error->message);
}

/* Settings by which administrators forbid user namespaces. X (file, value that forbids, advice) */
#define USERNS_SWITCHES(X)                                                                         \
  X ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=1000")            \
  X ("/proc/sys/kernel/unprivileged_userns_clone", "0",                                            \
     "sysctl kernel.unprivileged_userns_clone=1")                                                  \
  X ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",                                \
     "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns")

static const char *
userns_advice (const GtDoctor *doctor)
{
  static const struct {
    const char *file, *forbids, *advice;
  } switches[] = {
#define X(file, forbids, advice) { file, forbids, advice },
    USERNS_SWITCHES (X)
#undef X
  };
  if (doctor->container != NULL)
    return "docker run --security-opt seccomp=unconfined allows them";
  for (guint i = 0; i < G_N_ELEMENTS (switches); i++) {
    g_autofree char *value = gt_machine_read (switches[i].file);
    if (value != NULL && g_str_equal (value, switches[i].forbids))
      return switches[i].advice;
  }
  return NULL;
}

static const char *
cgroup_advice (const GtDoctor *doctor)
{
  return doctor->container != NULL
             ? "no container's own cgroup can be written without --privileged: the subreaper "
               "domain is what default containers have"
             : "systemd-run --user --scope -p Delegate=yes gilotine run ... (as root: without "
               "--user) gives a cgroup of our own";
}

static const char *
pidns_advice (const GtDoctor *doctor)
{
  return doctor->container != NULL ? "docker run --cap-add SYS_ADMIN allows them" : NULL;
}

static void
add_namespace (GtDoctor *doctor, const char *label, const char *key, GtDomain domain,
               const char *advice)
{
  g_autofree char *reason = why_not (doctor, domain);
  gboolean works = reason == NULL;
  gt_doctor_add (doctor, works ? GT_MARK_OK : GT_MARK_FACT, label,
                 works || doctor->blocked != NULL ? NULL : advice, "%s",
                 works ? "can be made" : reason);
  gt_doctor_fact (doctor, key, json_boolean (works));
}

void
gt_check_namespaces (GtDoctor *doctor)
{
  add_namespace (doctor, "PID namespaces", "pid", GT_DOMAIN_PIDNS, pidns_advice (doctor));
  add_namespace (doctor, "user namespaces", "user", GT_DOMAIN_USERNS, userns_advice (doctor));
}

void
gt_check_keeper (GtDoctor *doctor)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *found = gt_path_program ("gilotine-init", &error);
  g_autofree char *path = found != NULL ? g_canonicalize_filename (found, NULL) : NULL;
  gt_doctor_fact (doctor, "path", gt_doctor_text (path));
  if (path == NULL && !doctor->has_proc)
    gt_doctor_add (doctor, GT_MARK_FACT, "gilotine-init", NULL,
                   "without /proc our own programs are not found");
  else if (path == NULL)
    gt_doctor_add (doctor, GT_MARK_MISSING, "gilotine-init",
                   "install gilotine as a whole ('make install'), or set GILOTINE_LIBEXECDIR to "
                   "the folder it is in",
                   "%s", error->message);
  else
    gt_doctor_add (doctor, GT_MARK_OK, "gilotine-init", NULL, "%s", path);
}

void
gt_check_domains (GtDoctor *doctor)
{
  for (GtDomain domain = 0; domain < GT_N_DOMAINS; domain++) {
    g_autofree char *label = g_strdup_printf ("domain %s", gt_domain_name (domain));
    g_autofree char *reason = why_not (doctor, domain);
    gboolean works = reason == NULL;
    gt_doctor_add (doctor, works ? GT_MARK_OK : GT_MARK_FACT, label, NULL, "%s",
                   works ? gt_domain_promise (domain) : reason);
    gt_doctor_fact (doctor, gt_domain_name (domain),
                    json_pack ("{sb, so}", "works", works, "reason", gt_doctor_text (reason)));
  }
}

/* What a purpose gets: nothing weaker than the subreaper is a promise. */
static void
add_purpose (GtDoctor *doctor, GtPurpose purpose, const char *label, gboolean wants_namespace)
{
  GtDomain domain = doctor->blocked == NULL ? gt_domain_best (purpose) : GT_DOMAIN_PGROUP;
  g_autofree char *reason = why_not (doctor, domain);
  g_autofree char *gap = g_strdup_printf ("%s: gap", label);
  if (reason != NULL || domain == GT_DOMAIN_PGROUP) {
    gt_doctor_add (doctor, GT_MARK_MISSING, label, NULL, "%s",
                   doctor->blocked != NULL ? doctor->blocked
                   : reason != NULL        ? reason
                                           : "only the process group: nothing is promised");
    gt_doctor_fact (doctor, "domain", NULL);
    return;
  }
  gboolean weak = domain == GT_DOMAIN_SUBREAPER || (wants_namespace && domain == GT_DOMAIN_CGROUP);
  const char *advice = !weak                            ? NULL
                       : !wants_namespace               ? cgroup_advice (doctor)
                       : userns_advice (doctor) != NULL ? userns_advice (doctor)
                                                        : pidns_advice (doctor);
  gt_doctor_add (doctor, weak ? GT_MARK_WARN : GT_MARK_OK, label, advice, "%s: %s",
                 gt_domain_name (domain), gt_domain_promise (domain));
  gt_doctor_add (doctor, GT_MARK_FACT, gap, NULL, "%s", gt_domain_gap (domain));
  gt_doctor_fact (doctor, "domain", gt_doctor_text (gt_domain_name (domain)));
  gt_doctor_fact (doctor, "promise", gt_doctor_text (gt_domain_promise (domain)));
  gt_doctor_fact (doctor, "gap", gt_doctor_text (gt_domain_gap (domain)));
}

void
gt_check_run (GtDoctor *doctor)
{
  add_purpose (doctor, GT_PURPOSE_TRANSPARENT, "gilotine run", FALSE);
}

void
gt_check_executors (GtDoctor *doctor)
{
  add_purpose (doctor, GT_PURPOSE_CONTAIN, "executors", TRUE);
}
