/* The table of commands: one row here, one cmd_NAME.c beside it. */
#pragma once

#include <glib.h>

/* Exit codes of every command but `run` (which answers as timeout(1) does). The numbers are part of
 * the interface: docs/man lists them. */
#define GT_EXIT_CODES(X)                                                                           \
  X (OK, 0, "done")                                                                                \
  X (FAILED, 1, "the work was done and its answer is no, or failed")                               \
  X (USAGE, 2, "wrong option, argument or input file")                                             \
  X (SYSTEM, 111, "the system failed: broker, disk, process, memory")

typedef enum {
#define X(name, code, text) GT_EXIT_##name = (code),
  GT_EXIT_CODES (X)
#undef X
} GtExit;

/* argv[0] is the command's name. Returns the process' exit code. */
typedef int (*GtCommandFunc) (int argc, char **argv);

/* X (name, function suffix, where, one line of help)
 * HERE: in `gilotine` itself. APART: in libexec's gilotine-full, which `gilotine` executes: brokers
 * bring TLS libraries that take a millisecond to load, and `gilotine run` shall not pay for it. */
#define GT_COMMANDS(X)                                                                             \
  X ("lab", lab, APART, "run an experiment on the real stack and say which limits held")           \
  X ("run", run, HERE, "run a command under a limit that holds for its whole family")              \
  X ("query", query, HERE, "run DuckDB queries under limits that hold")                            \
  X ("send", send, APART, "send a Celery task, wait for its result")                               \
  X ("census", census, HERE,                                                                       \
     "look at a family of processes from outside: zombies, CPU burnt, memory")                     \
  X ("doctor", doctor, APART, "what this machine offers, and which promises hold on it")

#define X(name, suffix, where, help) int gt_cmd_##suffix (int argc, char **argv);
GT_COMMANDS (X)
#undef X
