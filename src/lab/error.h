/* The error domain of src/lab. */
#pragma once

#include <glib.h>

#define GT_LAB_ERRORS(X)                                                                           \
  X (INPUT, "an experiment, option or raw file says what cannot be used")                          \
  X (UNAVAILABLE, "an interpreter, driver or broker is missing")                                   \
  X (SYSTEM, "disk, process or broker failed")                                                     \
  X (LEFTOVER, "something was still running when everything should be gone")                       \
  X (INTERRUPTED, "the user asked to stop")

typedef enum {
#define X(name, text) GT_LAB_ERROR_##name,
  GT_LAB_ERRORS (X)
#undef X
} GtLabError;

#define GT_LAB_ERROR (gt_lab_error_quark ())
GQuark gt_lab_error_quark (void);
