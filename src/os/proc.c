#include "os/proc.h"

#include <string.h>
#include <unistd.h>

/* Fields of /proc/PID/stat that are used, by their number in proc(5). */
typedef enum {
  FIELD_PPID = 4,
  FIELD_PGRP = 5,
  FIELD_SESSION = 6,
  FIELD_FLAGS = 9,
  FIELD_UTIME = 14,
  FIELD_STIME = 15,
  FIELD_CUTIME = 16,
  FIELD_CSTIME = 17,
  FIELD_THREADS = 20,
  FIELD_START = 22,
  FIELD_RSS = 24,
  FIELD_CODE_START = 26,
  FIELD_CODE_END = 27,
  FIELD_STACK = 28,
  FIELD_ENV_END = 51,
  FIELD_COUNT
} StatField;

/* A whole number with optional minus sign, as the bits of its two's complement. Kernel fields are
 * signed and unsigned 64-bit mixed; who uses a field knows which. */
static gboolean
parse_number (const char **at, const char *end, guint64 *out)
{
  const char *p = *at;
  gboolean negative = p < end && *p == '-';
  guint64 value = 0;
  if (negative)
    p++;
  const char *digits = p;
  for (; p < end && *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow (value, 10u, &value)
        || __builtin_add_overflow (value, (guint64) (*p - '0'), &value))
      return FALSE;
  if (p == digits || (negative && value > (guint64) G_MAXINT64))
    return FALSE;
  *out = negative ? 0 - value : value;
  *at = p;
  return TRUE;
}

/* Fields 4 and following, each after one space. Returns the number after the last one read, 0 when
 * something is no number. */
static guint
parse_fields (const char *p, const char *end, guint64 fields[FIELD_COUNT])
{
  guint n = FIELD_PPID;
  for (; p < end && n < FIELD_COUNT; n++)
    if (*p++ != ' ' || !parse_number (&p, end, &fields[n]))
      return 0;
  return n;
}

/* Ids may be -1: a process in the middle of being reaped has no group and no session any more. */
static gboolean
to_int (guint64 bits, gint least, gint *out)
{
  gint64 value = (gint64) bits;
  *out = (gint) value;
  return value >= least && value <= G_MAXINT;
}

/* Execution draws new addresses for code and stack. The addresses of arguments and environment
 * would add nothing, and programs that write their own title may move them without an exec. */
static guint64
image_of (const guint64 fields[FIELD_COUNT])
{
  if (fields[FIELD_STACK] == 0)
    return 0;
  guint64 mixed = fields[FIELD_STACK];
  mixed = (mixed ^ fields[FIELD_CODE_START]) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  mixed = (mixed ^ fields[FIELD_CODE_END]) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
  return mixed == 0 ? 1 : mixed;
}

/* "PID (COMM) STATE". COMM may hold parentheses, spaces and newlines; no later field can hold ')'.
 */
static const char *
parse_head (const char *text, const char *end, GtProcStat *out)
{
  guint64 pid;
  const char *p = text;
  const char *close = memrchr (text, ')', (gsize) (end - text));
  if (close == NULL || !parse_number (&p, end, &pid) || !to_int (pid, 1, &out->pid))
    return NULL;
  if (end - p < 2 || p[0] != ' ' || p[1] != '(' || close < p + 2)
    return NULL;
  gsize length = MIN ((gsize) (close - (p + 2)), (gsize) GT_PROC_COMM_MAX);
  memcpy (out->comm, p + 2, length);
  out->comm[length] = '\0';
  if (end - close < 3 || close[1] != ' ' || !g_ascii_isalpha (close[2]))
    return NULL;
  out->state = close[2];
  return close + 3;
}

gboolean
gt_proc_parse_stat (const char *text, gsize length, GtProcStat *out)
{
  /* Without its newline the line was cut, and so perhaps its last number. */
  if (length == 0 || text[length - 1] != '\n')
    return FALSE;
  guint64 fields[FIELD_COUNT] = { 0 };
  const char *end = text + length - 1;
  const char *rest = parse_head (text, end, out);
  if (rest == NULL || parse_fields (rest, end, fields) <= FIELD_RSS)
    return FALSE;
  if (!to_int (fields[FIELD_PPID], 0, &out->ppid) || !to_int (fields[FIELD_PGRP], -1, &out->pgrp)
      || !to_int (fields[FIELD_SESSION], -1, &out->session)
      || !to_int (fields[FIELD_THREADS], 0, &out->threads) || fields[FIELD_FLAGS] > G_MAXUINT)
    return FALSE;
  out->flags = (guint) fields[FIELD_FLAGS];
  out->utime_ticks = fields[FIELD_UTIME];
  out->stime_ticks = fields[FIELD_STIME];
  out->cutime_ticks = fields[FIELD_CUTIME];
  out->cstime_ticks = fields[FIELD_CSTIME];
  out->start_ticks = fields[FIELD_START];
  out->rss_pages = MAX ((gint64) fields[FIELD_RSS], 0);
  out->image = image_of (fields);
  out->has_environment = fields[FIELD_ENV_END] != 0;
  return TRUE;
}

/* Rest of the line that starts with `key`, or NULL. A line cut by the end of the text does not
 * count. */
static const char *
find_line (const char *text, gsize length, const char *key, const char **line_end)
{
  gsize key_length = strlen (key);
  if (length == 0)
    return NULL;
  const char *end = text + length;
  for (const char *p = text; p < end;) {
    const char *newline = memchr (p, '\n', (gsize) (end - p));
    if (newline == NULL)
      return NULL;
    if ((gsize) (newline - p) >= key_length && memcmp (p, key, key_length) == 0) {
      *line_end = newline;
      return p + key_length;
    }
    p = newline + 1;
  }
  return NULL;
}

static const char *
skip_blanks (const char *p, const char *end)
{
  while (p < end && (*p == ' ' || *p == '\t'))
    p++;
  return p;
}

static gboolean
parse_mask (const char *text, gsize length, const char *key, guint64 *out)
{
  const char *end;
  const char *p = find_line (text, length, key, &end);
  if (p == NULL)
    return FALSE;
  p = skip_blanks (p, end);
  if (p == end || end - p > 16)
    return FALSE;
  guint64 mask = 0;
  for (; p < end; p++) {
    gint digit = g_ascii_xdigit_value (*p);
    if (digit < 0)
      return FALSE;
    mask = mask << 4 | (guint64) digit;
  }
  *out = mask;
  return TRUE;
}

gboolean
gt_proc_parse_signals (const char *text, gsize length, GtProcSignals *out)
{
  return parse_mask (text, length, "SigPnd:", &out->pending)
         && parse_mask (text, length, "ShdPnd:", &out->pending_shared)
         && parse_mask (text, length, "SigBlk:", &out->blocked)
         && parse_mask (text, length, "SigIgn:", &out->ignored)
         && parse_mask (text, length, "SigCgt:", &out->caught);
}

gint64
gt_proc_parse_pss (const char *text, gsize length)
{
  const char *end;
  guint64 kib;
  const char *p = find_line (text, length, "Pss:", &end);
  if (p == NULL)
    return -1;
  p = skip_blanks (p, end);
  if (!parse_number (&p, end, &kib) || kib > (guint64) G_MAXINT64 / 1024)
    return -1;
  if (end - p != 3 || memcmp (p, " kB", 3) != 0)
    return -1;
  return (gint64) kib * 1024;
}

const char *
gt_proc_find_env (const char *text, gsize length, const char *name, gsize *value_length)
{
  gsize name_length = strlen (name);
  if (length == 0)
    return NULL;
  const char *end = text + length;
  for (const char *p = text; p < end;) {
    const char *stop = memchr (p, '\0', (gsize) (end - p));
    if (stop == NULL)
      stop = end;
    if ((gsize) (stop - p) > name_length && p[name_length] == '='
        && memcmp (p, name, name_length) == 0) {
      *value_length = (gsize) (stop - p) - name_length - 1;
      return p + name_length + 1;
    }
    p = stop + 1;
  }
  return NULL;
}

void
gt_proc_join_cmdline (const char *text, gsize length, gsize limit, GString *out)
{
  g_string_truncate (out, 0);
  while (length > 0 && text[length - 1] == '\0') /* the last terminator, and a title's padding */
    length--;
  gsize shown = MIN (length, limit);
  for (gsize at = 0; at < shown;) {
    gsize part = strnlen (text + at, shown - at);
    gt_proc_escape (text + at, part, out);
    at += part;
    if (at < shown) {
      g_string_append_c (out, ' ');
      at++;
    }
  }
  if (shown < length)
    g_string_append (out, "...");
}

/* Bidirectional overrides and line separators would let a name rewrite the line it stands in. */
static gboolean
is_fit (gunichar c)
{
  GUnicodeType type = g_unichar_type (c);
  return g_unichar_isprint (c) && type != G_UNICODE_LINE_SEPARATOR
         && type != G_UNICODE_PARAGRAPH_SEPARATOR;
}

static void
escape_byte (guchar byte, GString *out)
{
  if (byte == '\n')
    g_string_append (out, "\\n");
  else if (byte == '\t')
    g_string_append (out, "\\t");
  else if (byte == '\\')
    g_string_append (out, "\\\\");
  else if (byte >= 0x20 && byte < 0x7f)
    g_string_append_c (out, (gchar) byte);
  else
    g_string_append_printf (out, "\\x%02x", byte);
}

void
gt_proc_escape (const char *bytes, gsize length, GString *out)
{
  if (length == 0)
    return;
  const char *end = bytes + length;
  for (const char *p = bytes; p < end;) {
    gsize size = 1;
    if ((guchar) *p >= 0x80) {
      gunichar c = g_utf8_get_char_validated (p, end - p);
      if (c < 0x110000) { /* else (gunichar) -1 or -2: no character */
        size = (gsize) g_utf8_skip[(guchar) *p];
        if (is_fit (c)) {
          g_string_append_len (out, p, (gssize) size);
          p += size;
          continue;
        }
      }
    }
    for (gsize i = 0; i < size; i++)
      escape_byte ((guchar) p[i], out);
    p += size;
  }
}

const char *
gt_proc_state_name (char state)
{
  static const struct {
    char letter;
    const char *name;
  } states[] = {
    { 'R', "running" }, { 'S', "sleeping" }, { 'D', "waiting" }, /* cannot be interrupted */
    { 'Z', "zombie" },  { 'T', "stopped" },  { 't', "traced" },
    { 'X', "dead" },    { 'x', "dead" },     { 'I', "idle" }, /* kernel thread */
    { 'P', "parked" },  { 'K', "wakekill" }, { 'W', "waking" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    if (states[i].letter == state)
      return states[i].name;
  return "unknown";
}

gint64
gt_proc_tick_ns (void)
{
  long hertz = sysconf (_SC_CLK_TCK);
  return G_GINT64_CONSTANT (1000000000) / (hertz > 0 ? hertz : 100);
}
