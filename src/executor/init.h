/* gilotine-init from the inside. Plain C on purpose: no library that could start a thread, block or
 * allocate much. */
#pragma once

#include "os/family_wire.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* As timeout(1): our own failure, command found but not executable, command not found. */
enum { EXIT_OURS = 125, EXIT_CANNOT_EXEC = 126, EXIT_NOT_FOUND = 127 };

#define NS_PER_S  INT64_C (1000000000)
#define NS_PER_MS INT64_C (1000000)

typedef enum { SESSION_OWN, SESSION_GROUP, SESSION_CALLER } SessionMode;
typedef enum { SIGNALS_AUTO, SIGNALS_END, SIGNALS_FORWARD, SIGNALS_IGNORE } SignalMode;

enum { MAX_RLIMITS = 32 };

typedef struct {
  int lifeline_fd; /* -1 = none; orders come on it, its end ends the family */
  int status_fd;   /* -1 = none; may be the lifeline */
  int owner_fd;    /* -1 = none; a pidfd */
  GtCommandEnd command_end;
  bool pgroup;         /* kill the command's process group only; no subreaper */
  int64_t deadline_ns; /* CLOCK_MONOTONIC; INT64_MAX = none */
  SessionMode session;
  pid_t group; /* SESSION_CALLER: the group the command goes (back) to; 0 = ours */
  SignalMode signals;
  const char *cgroup2, *memory1, *pids1; /* folders made for this family; NULL = none */
  uint64_t memory_bytes;                 /* watched limits; 0 = none */
  uint64_t processes;
  int64_t cpu_ns;
  uint64_t ignored, blocked; /* signals of the command, bit signo - 1 */
  int nice;
  int64_t slice_ns;
  struct {
    int resource;
    struct rlimit value;
  } rlimits[MAX_RLIMITS];
  int n_rlimits;
  const char *remove_dir; /* NULL = none */
  char **command;         /* command[0] NULL = none: hold until the lifeline closes */
} Options;

typedef struct {
  Options options;
  bool is_pid1;
  int signal_fd;
  int deadline_fd;     /* timer; -1 = none */
  int watch_fd;        /* timer; -1 = nothing is watched */
  int children_fd;     /* /proc's list of our children; -1 = it has none */
  pid_t command_pid;   /* 0 = none or reaped */
  pid_t command_group; /* its process group; 0 = ours or none */
  int64_t set_up_ns;   /* CPU time of the command's process before it was executed */
  int command_status;  /* wait status, valid once command_pid is 0 again */
  bool ending;
  bool released;
  GtFamilyCause cause;
  uint64_t killed;     /* descendants beside the command that died of SIGKILL once we were ending */
  uint64_t peak_bytes; /* seen by the watch */
} Init;

int64_t now_ns (void);
void tell (const Init *init, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
/* One line on standard error, unless an owner is told instead. */
void complain (const Init *init, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
void end_now (Init *init, GtFamilyCause cause);
/* By the system call: glibc keeps its hands on signals 32 and 33, which can be inherited as ignored
 * like any other. */
void reset_signal (int signo);
void ignore_signal (int signo);
/* Reads the lifeline without blocking. */
void take_orders (Init *init);

/* init_options.c */
Options parse_options (int argc, char **argv);

/* init_start.c: starts the command; an exec error comes back as an error: it is told, and we exit.
 */
void start_command (Init *init);

/* init_tree.c */
typedef struct {
  pid_t pid, parent;
} Member;

typedef struct {
  Member *items; /* grows, is used again */
  size_t length, capacity;
} Members;

/* Opened once and kept: a family of the same user can lower our limit of descriptors. */
int open_own_children (void);
/* Our children, by number: safe to signal, because only we reap them. Replaces *members. False when
 * /proc cannot tell. */
bool list_children (const Init *init, Members *members);
/* Adds the children of one process, of all its threads or of the first only. */
void add_children (Members *members, pid_t pid, bool all_threads);
/* Everybody of the family but us, ended ones included: by cgroup, by namespace, or by walking down
 * from us. */
void list_members (const Init *init, Members *members);
pid_t parent_of (pid_t pid);

/* init_end.c: reaps what has ended; false when there is no child. */
bool reap (Init *init);
void end_family (Init *init);
void release_family (Init *init);
uint64_t count_living (const Init *init);

/* init_meter.c */
void start_watch (Init *init);
/* Looks at the limits; ends the family when one is reached. */
void watch_limits (Init *init);
void check_oom (Init *init);
/* Whether what was used up to now, as far as it is certain, is beyond the limit of CPU time: the
 * command may have ended between two looks. */
bool is_cpu_spent (const Init *init);
void tell_usage (Init *init);
void remove_cgroups (const Init *init);

/* init_files.c: small files whole. Negative when it cannot be read; the text is NUL-terminated. */
ssize_t read_text (const char *dir, const char *name, char *text, size_t size);
bool write_text (const char *dir, const char *name, const char *text);
/* The number behind `key` ("" = the first word); false when there is none. */
bool read_number (const char *dir, const char *name, const char *key, uint64_t *number);
/* With those below it, which a family inside this one may have made. */
void remove_cgroup (const char *dir);
void remove_tree (const Init *init, const char *dir);
