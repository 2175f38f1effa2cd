/* What a stranger answers on a broker's port: no crash, no leak, and text that is valid. */
#include "broker/banner.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  GtBanner banner;
  int result = gt_banner_parse (data, size, &banner);
  g_assert (result == 1 || (banner.product == NULL && banner.version == NULL));
  g_assert (banner.product == NULL || g_utf8_validate (banner.product, -1, NULL));
  g_assert (banner.version == NULL || g_utf8_validate (banner.version, -1, NULL));
  gt_banner_clear (&banner);
  return 0;
}
