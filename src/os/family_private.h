/* Inside of a family: shared by family*.c only. */
#pragma once

#include "os/cgroup.h"
#include "os/family.h"

/* Descriptor in gilotine-init that is no target of the command's: the highest target + 1 and on. */
enum { KEEPER_CHANNEL, KEEPER_OWNER, KEEPER_FDS };

struct GtFamily {
  GtFamilyState state;
  GtFamilyReport report;
  pid_t keeper_pid;
  pid_t command_pid;
  int keeper_pidfd;  /* -1 once reaped */
  int command_pidfd; /* -1 before the command is started */
  int channel_fd;    /* SOCK_SEQPACKET: news in, orders out; its end is the keeper's lifeline */
  int epoll_fd;      /* what gt_family_fd() gives */
  int search_fd;     /* timer of the search when LOST; -1 otherwise */
  gboolean has_command;
  gboolean gone_told; /* the keeper had the kernel's word */
  gboolean was_lost;
  gboolean helped; /* the keeper was too slow, and we killed it */
  gboolean ended;
  gboolean stopped;
  int wait_status;
  int stop_signal;
  int exec_errno;
  char *exec_what;     /* argv[0] */
  gboolean refused;    /* exec_errno is the domain's, not the command's */
  GtInstant killed_at; /* first gt_family_kill(); GT_NEVER = not yet */
  GtSessionMode session;
  guint64 early_signals; /* asked for while STARTING; bit signo - 1 */
  GtCgroup cgroup;
  char *mark; /* in every member's environment unless it removed it */
  gboolean adopt;
  GHashTable *not_ours; /* adopt: children we had before, pid -> start ticks */
};

/* family_start.c: one attempt in exactly this domain. */
GtFamily *gt_family_start_in (const GtFamilySpec *spec, GtDomain domain, GError **error);

gboolean gt_family_may_end (const GtFamily *family, GtCommandEnd command_end, GError **error);

/* family_search.c. Prepares for the keeper's death (adopt). */
gboolean gt_family_prepare_search (GtFamily *family, GError **error);
/* Kills what is left behind a killed keeper; how many were found alive. 0 twice in a row is as much
 * proof as there is. `names` (may be NULL) gets "pid (name)" of each. */
guint gt_family_search (GtFamily *family, GString *names);
/* Appends "pid (name, state)" of every living descendant of the keeper, also of those that became
 * another user's. */
void gt_family_name_below_keeper (const GtFamily *family, GString *names);
/* Keepers are children of ours, but of no family's. */
void gt_family_remember_keeper (pid_t pid);
void gt_family_forget_keeper (pid_t pid);

/* Domain predicates. */
static inline gboolean
gt_domain_is_pidns (GtDomain domain)
{
  return domain == GT_DOMAIN_PIDNS_CGROUP || domain == GT_DOMAIN_PIDNS
         || domain == GT_DOMAIN_USERNS;
}

static inline gboolean
gt_domain_has_cgroup (GtDomain domain)
{
  return domain == GT_DOMAIN_PIDNS_CGROUP || domain == GT_DOMAIN_CGROUP;
}
