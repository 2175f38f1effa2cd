/* The command line of `gilotine run` on any words, separated by NUL. */
#include "cli/run_options.h"

#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* What it says is not looked at; the fuzzer kept the real streams when it began. */
int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  (void) argc, (void) argv;
  stdout = stderr = fopen ("/dev/null", "w");
  return 0;
}

static void
check (const GtRunOptions *options, char **words, guint n)
{
  g_assert_cmpint (options->duration_ns, >=, 0);
  g_assert_cmpint (options->grace_ns, >=, 0);
  g_assert_cmpint (options->cpu_ns, >=, 0);
  g_assert_true (options->signo >= 0 && options->signo <= SIGRTMAX);
  g_assert_true (options->domain == GT_DOMAIN_AUTO || options->domain < GT_N_DOMAINS);
  g_assert_true (options->command > words && options->command < words + n);
  g_assert_nonnull (*options->command);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  g_autoptr (GPtrArray) owned = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (words, NULL); /* the program's name: it puts its own there */
  for (size_t at = 0; at < size; at += strnlen ((const char *) data + at, size - at) + 1) {
    g_ptr_array_add (owned, g_strndup ((const char *) data + at, size - at));
    g_ptr_array_add (words, owned->pdata[owned->len - 1]);
  }
  guint n = words->len;
  g_ptr_array_add (words, NULL);

  GtRunOptions options;
  int code = -1;
  optind = 0; /* getopt begins anew */
  if (gt_run_options_parse (&options, (int) n, (char **) words->pdata, &code))
    check (&options, (char **) words->pdata, n);
  else
    g_assert_true (code == 0 || code == GT_RUN_FAILED);
  return 0;
}
