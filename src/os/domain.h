/* Kill domains: what dies with a family, and what a domain cannot hold.
 *
 * A weaker domain is a weaker promise, so whoever uses one names it to people. A domain that was
 * asked for by name is used or refused, never replaced by a weaker one. */
#pragma once

#include <glib.h>

/* X (ID, name, promise, gap): strongest containment first. The list exists here only. */
#define GT_DOMAINS(X)                                                                              \
  X (PIDNS_CGROUP, "pidns+cgroup",                                                                 \
     "a PID namespace inside a cgroup: nothing leaves, the family cannot signal its keeper",       \
     "needs root or CAP_SYS_ADMIN and a writable cgroup v2 tree; PIDs differ inside")              \
  X (PIDNS, "pidns", "a PID namespace: nothing leaves, the family cannot signal its keeper",       \
     "needs root or CAP_SYS_ADMIN; PIDs differ inside")                                            \
  X (USERNS, "userns",                                                                             \
     "a PID namespace inside a user namespace: nothing leaves, no privilege needed",               \
     "set-user-ID programs and other users' files of the group do not work inside; PIDs differ")   \
  X (CGROUP, "cgroup", "a cgroup v2 killed as one, forks in progress included; ordinary PIDs",     \
     "a root family can move itself out of the cgroup; it can end its keeper, not itself escape")  \
  X (SUBREAPER, "subreaper",                                                                       \
     "orphans come back to the keeper, which kills until the kernel says none is left",            \
     "a family of the same user can SIGKILL its keeper; what is left then is found by mark")       \
  X (PGROUP, "pgroup", "the command's process group is killed",                                    \
     "whatever calls setsid or setpgid leaves, a nested timeout(1) too")

typedef enum {
#define X(id, name, promise, gap) GT_DOMAIN_##id,
  GT_DOMAINS (X)
#undef X
      GT_N_DOMAINS,
  GT_DOMAIN_AUTO = GT_N_DOMAINS, /* the best for the purpose, by trying */
} GtDomain;

/* What AUTO optimises. TRANSPARENT: the command sees ordinary PIDs, users and mounts, as under
 * timeout(1): cgroup, subreaper. CONTAIN: whatever holds best: pidns+cgroup, pidns, userns, cgroup,
 * subreaper. */
typedef enum { GT_PURPOSE_TRANSPARENT, GT_PURPOSE_CONTAIN } GtPurpose;

/* "auto" for GT_DOMAIN_AUTO. Static strings. */
const char *gt_domain_name (GtDomain domain);
const char *gt_domain_promise (GtDomain domain);
const char *gt_domain_gap (GtDomain domain);

/* By name ("auto" too). FALSE and `error` (GT_OS_ERROR_NOT_FOUND), which lists the names. */
gboolean gt_domain_by_name (const char *name, GtDomain *domain, GError **error);

/* Whether this machine offers it to this user: starts and ends a real family in it, the first time;
 * the answer is kept for the life of the process. FALSE and `error`
 * (GT_OS_ERROR_UNAVAILABLE) with the reason. Thread-safe. Takes some milliseconds: for doctor and
 * option checks; gt_family_spawn() does not need it. */
gboolean gt_domain_probe (GtDomain domain, GError **error);

/* The first domain of the purpose's list that gt_domain_probe() accepts. */
GtDomain gt_domain_best (GtPurpose purpose);

/* The purpose's list, strongest first, ended by GT_N_DOMAINS. Static. */
const GtDomain *gt_domain_candidates (GtPurpose purpose);
