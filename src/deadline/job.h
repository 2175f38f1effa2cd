/* Which outcome an answer or an end is. Pure. */
#pragma once

#include "deadline/pool.h"

/* Its answer is complete, by the end frame's word: sets outcome, reason, committed. */
void gt_job_settle (GtJob *job, const GtEnd *end);

/* Its family is gone: the report goes into the record. Without a settled answer this is the
 * outcome, from `why` the kill was sent (ANSWER: it was not) and from how the family ended. */
void gt_job_conclude (GtJob *job, GtReason why, const char *problem, const GtEnding *ending);

/* Forgets what has come of an answer. */
void gt_job_drop_answer (GtJob *job);
