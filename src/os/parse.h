/* Durations, sizes, counts and signals as people write them. Pure, and independent of the locale:
 * the decimal point is a point everywhere. Where timeout(1) and kill(1) have a notation, it is
 * theirs. */
#pragma once

#include <glib.h>

/* No limit. */
#define GT_DURATION_NONE G_GINT64_CONSTANT (0)

/* "10", "0.5", "1e-3", "0x1p-2", "2m", "1.5h", "inf", "infd": a number of strtod(3), then one of
 * s (the default), m, h, d. Rounded up to a nanosecond, so that a tiny limit never becomes none;
 * one beyond the range of *ns, infinity included, is G_MAXINT64 (gt_instant_add makes it GT_NEVER);
 * 0 is GT_DURATION_NONE. FALSE for what is negative, no number, or followed by anything else. */
gboolean gt_parse_duration (const char *text, gint64 *ns);

/* "4096", "1.5G", "512m", "64KiB", "10MB": bytes, or with K, M, G, T, P, E (of 1024, also written
 * KiB), or KB, MB, ... (of 1000); upper or lower case. Rounded down. FALSE for what is no number,
 * below one byte, or beyond 2^63 - 1. */
gboolean gt_parse_size (const char *text, guint64 *bytes);

/* Decimal digits only, from 1 to 2^63 - 1. */
gboolean gt_parse_count (const char *text, guint64 *count);

/* As kill(1) of coreutils: a number, also as a shell's exit status (143) or a wait status (271); a
 * name with or without SIG in any case; RTMIN, RTMIN+n, RTMAX, RTMAX-n. 0 and "EXIT" are 0: no
 * signal. FALSE for a signal that does not exist or that is not for programs to use (32, 33). */
gboolean gt_parse_signal (const char *text, int *signo);

/* Room for the longest name, "RTMIN+15", and its NUL. */
#define GT_SIGNAL_NAME_SIZE 12

/* "TERM", "EXIT" for 0, "RTMIN+3", "RTMAX-2"; the number where there is no name. Returns `name`. */
const char *gt_signal_name (int signo, char name[GT_SIGNAL_NAME_SIZE]);
