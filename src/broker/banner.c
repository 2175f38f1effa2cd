#include "broker/banner.h"

#include <string.h>

#define FRAME_HEADER 7
#define FRAME_END    0xCE
/* A server that needs more to introduce itself is none we know. */
#define LONGEST_FRAME 65536

typedef struct {
  const guint8 *at, *end;
} Bytes;

static gboolean
take_number (Bytes *bytes, guint size, guint32 *number)
{
  if (bytes->end - bytes->at < (gssize) size)
    return FALSE;
  *number = 0;
  for (guint i = 0; i < size; i++)
    *number = *number << 8 | bytes->at[i];
  bytes->at += size;
  return TRUE;
}

static gboolean
skip (Bytes *bytes, guint32 size)
{
  if ((gsize) (bytes->end - bytes->at) < size)
    return FALSE;
  bytes->at += size;
  return TRUE;
}

/* A string with its length in `size` bytes before it; `text` may be NULL. */
static gboolean
take_string (Bytes *bytes, guint size, char **text)
{
  guint32 length;
  if (!take_number (bytes, size, &length) || (gsize) (bytes->end - bytes->at) < length)
    return FALSE;
  if (text != NULL) {
    g_free (*text);
    *text = g_utf8_make_valid ((const char *) bytes->at, (gssize) length);
  }
  return skip (bytes, length);
}

/* Values of a fixed size. X (types, bytes) */
#define FIXED(X)                                                                                   \
  X ("V", 0)                                                                                       \
  X ("tbB", 1)                                                                                     \
  X ("suU", 2)                                                                                     \
  X ("Iif", 4)                                                                                     \
  X ("D", 5)                                                                                       \
  X ("dLlT", 8)

static gboolean
skip_value (Bytes *bytes, guint32 type)
{
  static const struct {
    const char *types;
    guint32 size;
  } fixed[] = {
#define X(types, size) { types, size },
    FIXED (X)
#undef X
  };
  if (type == 'S' || type == 'x' || type == 'A' || type == 'F')
    return take_string (bytes, 4, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    if (type != '\0' && strchr (fixed[i].types, (int) type) != NULL)
      return skip (bytes, fixed[i].size);
  return FALSE;
}

static gboolean
read_properties (Bytes bytes, GtBanner *banner)
{
  while (bytes.at < bytes.end) {
    g_autofree char *name = NULL;
    guint32 type;
    if (!take_string (&bytes, 1, &name) || !take_number (&bytes, 1, &type))
      return FALSE;
    char **wanted = strcmp (name, "product") == 0   ? &banner->product
                    : strcmp (name, "version") == 0 ? &banner->version
                                                    : NULL;
    if (type == 'S' && wanted != NULL ? !take_string (&bytes, 4, wanted)
                                      : !skip_value (&bytes, type))
      return FALSE;
  }
  return TRUE;
}

int
gt_banner_parse (const guint8 *data, gsize length, GtBanner *banner)
{
  /* A method frame (1) of channel 0, as far as it has come. */
  static const guint8 start[] = { 1, 0, 0 };
  *banner = (GtBanner){ 0 };
  if (memcmp (data, start, MIN (length, sizeof start)) != 0)
    return -1;
  Bytes bytes = { data + MIN (length, sizeof start), data + length };
  guint32 size, method, versions, table;
  if (!take_number (&bytes, 4, &size))
    return 0;
  if (size < 10 || size > LONGEST_FRAME)
    return -1;
  if (length < FRAME_HEADER + (gsize) size + 1)
    return 0;
  bytes.end = bytes.at + size;
  if (*bytes.end != FRAME_END || !take_number (&bytes, 4, &method) || method != (10 << 16 | 10)
      || !take_number (&bytes, 2, &versions) || versions != 9 || !take_number (&bytes, 4, &table)
      || (gsize) (bytes.end - bytes.at) < table)
    return -1;
  bytes.end = bytes.at + table;
  if (read_properties (bytes, banner))
    return 1;
  gt_banner_clear (banner);
  return -1;
}

void
gt_banner_clear (GtBanner *banner)
{
  g_clear_pointer (&banner->product, g_free);
  g_clear_pointer (&banner->version, g_free);
}
