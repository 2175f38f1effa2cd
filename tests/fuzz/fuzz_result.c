/* Result documents from anyone: no crash, no leak, and what decodes holds together. */
#include "celery/envelope.h"
#include "celery/result.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *text = (const char *) data;
  GtResult *result = gt_result_decode (text, size, NULL);
  if (result != NULL) {
    g_assert (result->task_id[0] != '\0' && result->status[0] != '\0' && result->result != NULL);
    g_assert (result->exc_type == NULL || result->exc_message != NULL);
    gt_result_free (result);
  }
  GtEnvelope *envelope = gt_envelope_decode (text, size, NULL);
  if (envelope != NULL) {
    g_assert (envelope->headers != NULL && envelope->properties != NULL && envelope->body != NULL);
    gt_envelope_free (envelope);
  }
  return 0;
}
