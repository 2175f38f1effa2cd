/* Subjects as services of compose.yml, in containers. Nothing of the engine need be on this machine
 * (it may be in a virtual one): a worker is seen by an observer in a container beside it, which
 * shares its PID namespace; tasks go through the broker's published port. */
#pragma once

#include "lab/place.h"

/* `project_dir`: where compose.yml is, NULL = here. Starts nothing. */
GtPlace *gt_place_compose_new (const char *project_dir, GError **error);
