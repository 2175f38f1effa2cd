#include "celery/error.h"

G_DEFINE_QUARK (gt_celery_error, gt_celery_error)
