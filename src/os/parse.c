#include "os/parse.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* X (name, signo): the first row of a number is the name that is shown. */
#define SIGNALS(X)                                                                                 \
  X ("EXIT", 0)                                                                                    \
  X ("HUP", SIGHUP)                                                                                \
  X ("INT", SIGINT)                                                                                \
  X ("QUIT", SIGQUIT)                                                                              \
  X ("ILL", SIGILL)                                                                                \
  X ("TRAP", SIGTRAP)                                                                              \
  X ("ABRT", SIGABRT)                                                                              \
  X ("IOT", SIGIOT)                                                                                \
  X ("BUS", SIGBUS)                                                                                \
  X ("FPE", SIGFPE)                                                                                \
  X ("KILL", SIGKILL)                                                                              \
  X ("USR1", SIGUSR1)                                                                              \
  X ("SEGV", SIGSEGV)                                                                              \
  X ("USR2", SIGUSR2)                                                                              \
  X ("PIPE", SIGPIPE)                                                                              \
  X ("ALRM", SIGALRM)                                                                              \
  X ("TERM", SIGTERM)                                                                              \
  X ("STKFLT", SIGSTKFLT)                                                                          \
  X ("CHLD", SIGCHLD)                                                                              \
  X ("CLD", SIGCHLD)                                                                               \
  X ("CONT", SIGCONT)                                                                              \
  X ("STOP", SIGSTOP)                                                                              \
  X ("TSTP", SIGTSTP)                                                                              \
  X ("TTIN", SIGTTIN)                                                                              \
  X ("TTOU", SIGTTOU)                                                                              \
  X ("URG", SIGURG)                                                                                \
  X ("XCPU", SIGXCPU)                                                                              \
  X ("XFSZ", SIGXFSZ)                                                                              \
  X ("VTALRM", SIGVTALRM)                                                                          \
  X ("PROF", SIGPROF)                                                                              \
  X ("WINCH", SIGWINCH)                                                                            \
  X ("POLL", SIGPOLL)                                                                              \
  X ("IO", SIGIO)                                                                                  \
  X ("PWR", SIGPWR)                                                                                \
  X ("SYS", SIGSYS)

static const struct {
  const char *name;
  int signo;
} signals[] = {
#define X(name, signo) { name, signo },
  SIGNALS (X)
#undef X
};

/* A number of strtod(3) in the C locale that is not negative and not NaN; `end` is behind it. What
 * is above 0 stays above 0: an underflow must not turn a limit into none. */
static gboolean
parse_number (const char *text, double *number, const char **end)
{
  char *stop;
  errno = 0;
  *number = g_ascii_strtod (text, &stop);
  if (stop == text || isnan (*number) || *number < 0 || (errno == ERANGE && signbit (*number)))
    return FALSE;
  if (errno == ERANGE && *number < 1)
    *number = nextafter (0, 1);
  *end = stop;
  return TRUE;
}

gboolean
gt_parse_duration (const char *text, gint64 *ns)
{
  static const struct {
    char suffix;
    double seconds;
  } units[] = { { '\0', 1 }, { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
  double number;
  const char *end;
  if (!parse_number (text, &number, &end) || (*end != '\0' && end[1] != '\0'))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (units[i].suffix == *end) {
      double exact = ceil (number * units[i].seconds * 1e9);
      *ns = exact >= (double) G_MAXINT64 ? G_MAXINT64 : (gint64) exact;
      return TRUE;
    }
  return FALSE;
}

/* "", "B", "K", "KiB", "KB" and so on, in any case: the factor. FALSE when it is none of them. */
static gboolean
parse_size_suffix (const char *suffix, double *factor)
{
  static const char powers[] = "KMGTPE";
  *factor = 1;
  if (*suffix == '\0' || g_ascii_strcasecmp (suffix, "B") == 0)
    return TRUE;
  const char *power = strchr (powers, g_ascii_toupper (*suffix));
  if (power == NULL)
    return FALSE;
  gboolean decimal = g_ascii_strcasecmp (suffix + 1, "B") == 0;
  if (!decimal && suffix[1] != '\0' && g_ascii_strcasecmp (suffix + 1, "iB") != 0)
    return FALSE;
  *factor = pow (decimal ? 1000 : 1024, (double) (power - powers + 1));
  return TRUE;
}

gboolean
gt_parse_size (const char *text, guint64 *bytes)
{
  double number, factor;
  const char *end;
  if (!g_ascii_isdigit (*text) && *text != '.')
    return FALSE; /* strtod's spaces, signs, "inf": no sizes */
  if (!parse_number (text, &number, &end) || !parse_size_suffix (end, &factor))
    return FALSE;
  double exact = floor (number * factor);
  if (!(exact >= 1) || exact >= (double) G_MAXINT64)
    return FALSE;
  *bytes = (guint64) exact;
  return TRUE;
}

gboolean
gt_parse_count (const char *text, guint64 *count)
{
  return g_ascii_string_to_unsigned (text, 10, 1, G_MAXINT64, count, NULL);
}

static gboolean
is_signal (int signo)
{
  if (signo >= SIGRTMIN && signo <= SIGRTMAX)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    if (signals[i].signo == signo)
      return TRUE;
  return FALSE;
}

/* A whole decimal number from `least` to `most`; strtol's spaces and signs are as in coreutils. */
static gboolean
parse_int (const char *text, long least, long most, int *value)
{
  char *end;
  errno = 0;
  long number = strtol (text, &end, 10);
  if (end == text || *end != '\0' || errno != 0 || number < least || number > most)
    return FALSE;
  *value = (int) number;
  return TRUE;
}

static gboolean
parse_realtime (const char *name, int *signo)
{
  gboolean from_top = g_ascii_strncasecmp (name, "RTMAX", 5) == 0;
  if (!from_top && g_ascii_strncasecmp (name, "RTMIN", 5) != 0)
    return FALSE;
  int offset = 0;
  int span = SIGRTMAX - SIGRTMIN;
  if (name[5] != '\0' && !parse_int (name + 5, from_top ? -span : 0, from_top ? 0 : span, &offset))
    return FALSE;
  *signo = (from_top ? SIGRTMAX : SIGRTMIN) + offset;
  return TRUE;
}

static gboolean
parse_signal_name (const char *name, int *signo)
{
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    if (g_ascii_strcasecmp (name, signals[i].name) == 0) {
      *signo = signals[i].signo;
      return TRUE;
    }
  if (g_ascii_isdigit (*name)) /* SIG15 */
    return parse_int (name, 0, SIGRTMAX, signo) && is_signal (*signo);
  return parse_realtime (name, signo);
}

gboolean
gt_parse_signal (const char *text, int *signo)
{
  if (!g_ascii_isdigit (*text)) {
    if (parse_signal_name (text, signo))
      return TRUE;
    return g_ascii_strncasecmp (text, "SIG", 3) == 0 && parse_signal_name (text + 3, signo);
  }
  int number;
  if (!parse_int (text, 0, INT_MAX, &number))
    return FALSE;
  /* The status of a shell is 128 + n, of ksh 256 + n, of wait(2) the signal in the low bits. */
  *signo = number & (number >= 0xFF ? 0xFF : 0x7F);
  return is_signal (*signo);
}

const char *
gt_signal_name (int signo, char name[GT_SIGNAL_NAME_SIZE])
{
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    if (signals[i].signo == signo) {
      g_strlcpy (name, signals[i].name, GT_SIGNAL_NAME_SIZE);
      return name;
    }
  const int middle = SIGRTMIN + (SIGRTMAX - SIGRTMIN) / 2;
  int length;
  if (signo < SIGRTMIN || signo > SIGRTMAX)
    length = g_snprintf (name, GT_SIGNAL_NAME_SIZE, "%d", signo);
  else if (signo <= middle)
    length = g_snprintf (name, GT_SIGNAL_NAME_SIZE, signo == SIGRTMIN ? "RTMIN" : "RTMIN+%d",
                         signo - SIGRTMIN);
  else
    length = g_snprintf (name, GT_SIGNAL_NAME_SIZE, signo == SIGRTMAX ? "RTMAX" : "RTMAX-%d",
                         SIGRTMAX - signo);
  g_assert (length < GT_SIGNAL_NAME_SIZE);
  return name;
}
