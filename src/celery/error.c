#include "celery/error.h"

G_DEFINE_QUARK (gt - celery - error, gt_celery_error)
