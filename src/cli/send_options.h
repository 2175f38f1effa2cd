/* The options and environment of `gilotine send`. */
#pragma once

#include "celery/message.h"
#include "cli/cmd.h"
#include "os/clock.h"

typedef struct {
  char *broker;
  char *task_name;
  json_t *args;
  json_t *kwargs;
  GStrv queues; /* at least one */
  GtSeconds countdown;
  GtSeconds expires;
  GtSeconds time_limit;
  GtSeconds soft_time_limit;
  guint priority;
  guint count; /* to each queue */
  guint attempts;
  gboolean wait;
  GtSeconds timeout; /* for the wait; VOID = none */
  gboolean json;
  gboolean quiet;
  gboolean no_declare;
  GtSeconds await_consumer; /* how long; VOID = not at all */
  char *id;                 /* NULL = a new one for each */
  char *reply_to;           /* NULL = a new one with `wait`, else none */
} GtSendOptions;

/* GT_EXIT_OK, or what the command is to return after it has been said why. */
GtExit gt_send_options_parse (GtSendOptions *options, int argc, char **argv);
void gt_send_options_clear (GtSendOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtSendOptions, gt_send_options_clear)
