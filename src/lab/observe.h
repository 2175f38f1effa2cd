/* The eye of a run beside a worker in its container (`gilotine lab --observe PID`), where the lab
 * itself cannot look: its engine may be in another machine. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Writes what it sees of the family with this root as records of raw.jsonl (raw.h) to standard
 * output, until it is ended: by SIGINT, SIGTERM or SIGHUP, with its reader, or with the PID
 * namespace that it shares with the worker. Trace events come to the socket that GILOTINE_TRACE
 * names; samples are GILOTINE_SAMPLE_MS (20) apart. The first record says that both are ready. */
gboolean gt_lab_observe (pid_t root_pid, GError **error);
