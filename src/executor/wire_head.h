/* The heads of the frames as structs. Each is a table: the struct, the encoder and the parser come
 * from it, and docs/executor-wire.md lists the same rows. Absent members parse as their zero (NULL,
 * 0, FALSE) unless they are required; unknown members are ignored, so that a head may grow. */
#pragma once

#include "executor/wire.h"

#include <glib.h>

/* kind, member, required. Kinds: INT (gint64), NUM (double), BOOL (gboolean), STR (char *, owned)
 */

#define GT_HELLO_FIELDS(X)                                                                         \
  X (INT, protocol, TRUE) /* GT_WIRE_VERSION */                                                    \
  X (STR, name, TRUE)     /* "gilotine-duckdb" */                                                  \
  X (STR, version, TRUE)  /* the program's */                                                      \
  X (STR, library, FALSE) /* what does the work: "DuckDB 1.5.6" */                                 \
  X (STR, kinds, TRUE)    /* kinds of jobs it takes, separated by spaces */                        \
  X (INT, pid, TRUE)      /* as it sees itself: in a namespace not the engine's number */          \
  X (INT, threads, TRUE)  /* the baseline to come back to after a job */                           \
  X (INT, fds, TRUE)

#define GT_READY_FIELDS(X)                                                                         \
  X (INT, threads, FALSE)                                                                          \
  X (INT, fds, FALSE)

/* Instants are CLOCK_MONOTONIC nanoseconds, absolute; absent or 0: no limit. */
#define GT_JOB_FIELDS(X)                                                                           \
  X (STR, kind, TRUE)          /* one of hello's kinds; names the body's format */                 \
  X (INT, soft_ns, FALSE)      /* for information: the interrupt is what counts */                 \
  X (INT, hard_ns, FALSE)      /* the kill; an executor need not watch it */                       \
  X (INT, memory_bytes, FALSE) /* ask the library to stay below */                                 \
  X (INT, threads, FALSE)      /* worker threads, 0: the executor's default */                     \
  X (INT, result_bytes, FALSE) /* most bytes of bodies of chunks and result together */            \
  X (BOOL, progress, FALSE)    /* progress frames are wanted */

/* What became of an interrupt. */
#define GT_ACK_STATES(X)                                                                           \
  X (CALLING, "calling", "the library's interrupt is called until the job ends")                   \
  X (COMMITTING, "committing", "a commit runs: not interrupted, it ends by itself")                \
  X (UNABLE, "unable", "the job has no interrupt: only the kill will end it")                      \
  X (STALE, "stale", "that job is not running here")

#define GT_ACK_FIELDS(X)                                                                           \
  X (STR, state, TRUE)                                                                             \
  X (INT, seen_ns, TRUE) /* when the frame was read */

#define GT_PROGRESS_FIELDS(X)                                                                      \
  X (NUM, percent, TRUE) /* 0..100, -1: not known */                                               \
  X (INT, rows_done, FALSE)                                                                        \
  X (INT, rows_total, FALSE)

#define GT_CHUNK_FIELDS(X)                                                                         \
  X (STR, format, TRUE)     /* of the body; "schema" and "rows" for SQL */                         \
  X (INT, statement, FALSE) /* 0 is the first */                                                   \
  X (INT, rows, FALSE)

#define GT_MEMFD_FIELDS(X)                                                                         \
  X (STR, format, TRUE) /* "parquet", "csv", "json", ... */                                        \
  X (INT, bytes, TRUE)                                                                             \
  X (INT, statement, FALSE)                                                                        \
  X (INT, rows, FALSE) /* -1: not known */

#define GT_RESULT_FIELDS(X)                                                                        \
  X (STR, format, FALSE) /* of the body */                                                         \
  X (INT, statements, FALSE)                                                                       \
  X (INT, rows, FALSE)                                                                             \
  X (INT, changed, FALSE) /* rows inserted, updated, deleted */

/* Error classes, of ERROR and of REFUSED. */
#define GT_WIRE_CLASSES(X)                                                                         \
  X (INPUT, "input", "the job cannot be understood: fields, types")                                \
  X (UNSUPPORTED, "unsupported", "asked for what this executor cannot do or enforce")              \
  X (SYNTAX, "syntax", "the query cannot be parsed or bound")                                      \
  X (PARAMETER, "parameter", "a parameter is missing, unknown or of a type that does not fit")     \
  X (MISSING, "missing", "a file that must exist does not")                                        \
  X (LOCKED, "locked", "another process holds the database file")                                  \
  X (READ_ONLY, "read-only", "a write through a read-only database")                               \
  X (RESULT_LIMIT, "result-limit", "the result is bigger than the job allows")                     \
  X (MEMORY, "memory", "the library reached its memory limit")                                     \
  X (INTERRUPTED, "interrupted", "the job stopped because of the interrupt")                       \
  X (QUERY, "query", "the query failed while it ran")                                              \
  X (IO, "io", "a file could not be read or written")                                              \
  X (EXCEPTION, "exception", "the job's own code raised; the body holds it")                       \
  X (INTERNAL, "internal", "a fault of the executor or of the library")

#define GT_FAILURE_FIELDS(X) /* of ERROR and REFUSED */                                            \
  X (STR, class_name, TRUE)                                                                        \
  X (STR, message, TRUE)     /* at most 8 KiB, says what to do next */                             \
  X (INT, statement, FALSE)  /* which of several; 0 is the first */                                \
  X (STR, detail, FALSE)     /* the library's own class of error */                                \
  X (INT, holder_pid, FALSE) /* locked: who holds the file; 0: not known */                        \
  X (STR, format, FALSE)     /* of the body */

/* committed: "no": nothing of this job's is durable. "yes": at least one commit was confirmed.
 * "maybe": a commit answered with an error or a write could not be followed. */
#define GT_COMMITS(X) X (NO, "no") X (YES, "yes") X (MAYBE, "maybe")

#define GT_END_FIELDS(X)                                                                           \
  X (INT, started_ns, TRUE)                                                                        \
  X (INT, ended_ns, TRUE)                                                                          \
  X (BOOL, interrupted, TRUE) /* an interrupt for this job was read while it ran */                \
  X (INT, interrupted_ns, FALSE)                                                                   \
  X (INT, interrupt_calls, FALSE) /* how often the library was told */                             \
  X (BOOL, late_value, TRUE)      /* interrupted, and yet a value */                               \
  X (BOOL, in_commit, TRUE)       /* the interrupt met a commit and was withheld */                \
  X (STR, committed, TRUE)        /* GT_COMMITS */                                                 \
  X (BOOL, committed_late, TRUE)  /* a commit was confirmed, or may have happened, after it */     \
  X (INT, statements, FALSE)      /* completed */                                                  \
  X (INT, threads, FALSE)         /* now, after an interrupt: compare with hello's */              \
  X (INT, fds, FALSE)

#define GT_WIRE_FIELD_INT(name)  gint64 name;
#define GT_WIRE_FIELD_NUM(name)  double name;
#define GT_WIRE_FIELD_BOOL(name) gboolean name;
#define GT_WIRE_FIELD_STR(name)  char *name;

/* Type, lower-case name, fields, the frames it is the head of. */
#define GT_WIRE_HEADS(X)                                                                           \
  X (GtHello, hello, GT_HELLO_FIELDS)                                                              \
  X (GtReady, ready, GT_READY_FIELDS)                                                              \
  X (GtJobHead, job, GT_JOB_FIELDS)                                                                \
  X (GtAck, ack, GT_ACK_FIELDS)                                                                    \
  X (GtProgress, progress, GT_PROGRESS_FIELDS)                                                     \
  X (GtChunk, chunk, GT_CHUNK_FIELDS)                                                              \
  X (GtMemfd, memfd, GT_MEMFD_FIELDS)                                                              \
  X (GtResultHead, result, GT_RESULT_FIELDS)                                                       \
  X (GtFailure, failure, GT_FAILURE_FIELDS)                                                        \
  X (GtEnd, end, GT_END_FIELDS)

#define GT_WIRE_MEMBER(kind, member, required) GT_WIRE_FIELD_##kind (member)
/* For each: gboolean gt_hello_parse (const GtFrame *, GtHello *out, GError **): out is set whole or
 *           zeroed; WIRE_ERROR_HEAD names the member that is wrong.
 *           char *gt_hello_text (const GtHello *): the head's JSON, to be freed with free() or
 * g_free(). void gt_hello_clear (GtHello *): frees its strings. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in them */
#define X(Type, name, FIELDS)                                                                      \
  typedef struct {                                                                                 \
    FIELDS (GT_WIRE_MEMBER)                                                                        \
  } Type;                                                                                          \
  gboolean gt_##name##_parse (const GtFrame *frame, Type *out, GError **error);                    \
  char *gt_##name##_text (const Type *head);                                                       \
  void gt_##name##_clear (Type *head);                                                             \
  G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Type, gt_##name##_clear)
GT_WIRE_HEADS (X)
#undef X
/* NOLINTEND(bugprone-macro-parentheses) */

typedef enum {
#define X(name, text, meaning) GT_WIRE_CLASS_##name,
  GT_WIRE_CLASSES (X)
#undef X
} GtWireClass;

const char *gt_wire_class_name (GtWireClass class_id);
