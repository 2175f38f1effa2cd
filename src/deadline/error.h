/* The error domain of src/deadline. */
#pragma once

#include <glib.h>

#define GT_DEADLINE_ERRORS(X)                                                                      \
  X (CONTRADICTION, "limits that contradict each other, or that are no limits")                    \
  X (UNENFORCEABLE, "a limit that cannot be enforced here")                                        \
  X (ENVIRONMENT, "GILOTINE_DEADLINE is not what it must be")                                      \
  X (OPTION, "an engine cannot be made of these options")                                          \
  X (STOPPED, "the engine is stopping and takes no job")                                           \
  X (TOO_LARGE, "a job that does not fit into a frame")

typedef enum {
#define X(name, text) GT_DEADLINE_ERROR_##name,
  GT_DEADLINE_ERRORS (X)
#undef X
} GtDeadlineError;

#define GT_DEADLINE_ERROR (gt_deadline_error_quark ())
GQuark gt_deadline_error_quark (void);
