/* The terminal of `gilotine run`: whether the command keeps it, and how it was before. */
#pragma once

#include <glib.h>
#include <sys/types.h>
#include <termios.h>

typedef struct {
  int fd;           /* /dev/tty; -1: there is no controlling terminal */
  gboolean shared;  /* the command runs in our process group and keeps the terminal */
  gboolean saved;   /* `modes` is valid */
  pid_t foreground; /* process group in the foreground at the start */
  struct termios modes;
} GtRunTerminal;

/* `forced`: shared in any case (--foreground). */
void gt_run_terminal_open (GtRunTerminal *terminal, gboolean forced);

/* When the family is gone. The foreground goes back to our group if its owner no longer exists; the
 * modes go back if the command could not do it itself (`killed`). Another job's terminal is never
 * touched. */
void gt_run_terminal_restore (const GtRunTerminal *terminal, gboolean killed);
