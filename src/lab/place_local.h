/* Subjects as processes of this machine, each a family under gilotine-init. */
#pragma once

#include "lab/place.h"

/* `broker`: "filesystem", "rabbitmq" (a private one is started) or a URL; borrowed. */
GtPlace *gt_place_local_new (const char *broker, GError **error);
