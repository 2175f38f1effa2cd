#include "os/domain.h"

#include "os/error.h"
#include "os/family_private.h"

#include <string.h>

static const struct {
  const char *name, *promise, *gap;
} domains[] = {
#define X(id, name, promise, gap) [GT_DOMAIN_##id] = { (name), (promise), (gap) },
  GT_DOMAINS (X)
#undef X
      [GT_DOMAIN_AUTO]
  = { "auto", "the best this machine offers", "" },
};

const char *
gt_domain_name (GtDomain domain)
{
  return domains[domain].name;
}

const char *
gt_domain_promise (GtDomain domain)
{
  return domains[domain].promise;
}

const char *
gt_domain_gap (GtDomain domain)
{
  return domains[domain].gap;
}

gboolean
gt_domain_by_name (const char *name, GtDomain *domain, GError **error)
{
  g_autoptr (GString) all = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (domains); i++) {
    if (strcmp (name, domains[i].name) == 0) {
      *domain = (GtDomain) i;
      return TRUE;
    }
    g_string_append_printf (all, "%s%s", i > 0 ? ", " : "", domains[i].name);
  }
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_NOT_FOUND, "no domain '%s'; there are %s", name,
               all->str);
  return FALSE;
}

const GtDomain *
gt_domain_candidates (GtPurpose purpose)
{
  static const GtDomain transparent[] = { GT_DOMAIN_CGROUP, GT_DOMAIN_SUBREAPER, GT_DOMAIN_PIDNS,
                                          GT_DOMAIN_USERNS, GT_DOMAIN_PGROUP,    GT_N_DOMAINS };
  static const GtDomain contain[]
      = { GT_DOMAIN_PIDNS_CGROUP, GT_DOMAIN_PIDNS,  GT_DOMAIN_USERNS, GT_DOMAIN_CGROUP,
          GT_DOMAIN_SUBREAPER,    GT_DOMAIN_PGROUP, GT_N_DOMAINS };
  return purpose == GT_PURPOSE_CONTAIN ? contain : transparent;
}

static GError *
try_domain (GtDomain domain)
{
  GtFamilySpec spec = GT_FAMILY_SPEC_INIT;
  const char *const argv[] = { "true", NULL };
  GError *error = NULL;
  spec.argv = argv;
  spec.domain = domain;
  g_autoptr (GtFamily) family = gt_family_spawn (&spec, &error);
  /* A machine without true(1) has started the keeper all the same. */
  if (family == NULL && g_error_matches (error, GT_OS_ERROR, GT_OS_ERROR_COMMAND_NOT_FOUND))
    g_clear_error (&error);
  return error;
}

gboolean
gt_domain_probe (GtDomain domain, GError **error)
{
  static GMutex mutex;
  static gboolean tried[GT_N_DOMAINS];
  static GError *answers[GT_N_DOMAINS];
  if (domain == GT_DOMAIN_AUTO)
    return TRUE;
  g_mutex_lock (&mutex);
  if (!tried[domain])
    answers[domain] = try_domain (domain);
  tried[domain] = TRUE;
  const GError *answer = answers[domain];
  g_mutex_unlock (&mutex);
  if (answer == NULL)
    return TRUE;
  g_set_error (error, GT_OS_ERROR, GT_OS_ERROR_UNAVAILABLE, "domain %s: %s",
               gt_domain_name (domain), answer->message);
  return FALSE;
}

GtDomain
gt_domain_best (GtPurpose purpose)
{
  const GtDomain *d = gt_domain_candidates (purpose);
  while (d[1] != GT_N_DOMAINS && !gt_domain_probe (*d, NULL))
    d++;
  return *d;
}
