#include "deadline/error.h"

G_DEFINE_QUARK (gt - deadline - error - quark, gt_deadline_error)
