/* The decoder of frames on any bytes, in pieces of any size. What it takes must keep the protocol's
 * promises and encode to the very bytes that came. */
#include "executor/wire.h"
#include "executor/wire_head.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* Each head's parser, on the head of any frame: what it takes survives its own text. */
static void
check_heads (const GtFrame *frame)
{
#define X(Type, name, FIELDS)                                                                      \
  {                                                                                                \
    g_auto (Type) head = { 0 }, again = { 0 };                                                     \
    if (gt_##name##_parse (frame, &head, NULL)) {                                                  \
      char *text = gt_##name##_text (&head);                                                       \
      GtFrame copy = { .type = frame->type, .head = text, .head_bytes = strlen (text), .fd = -1 }; \
      g_assert (gt_##name##_parse (&copy, &again, NULL));                                          \
      free (text);                                                                                 \
    }                                                                                              \
  }
  GT_WIRE_HEADS (X)
#undef X
}

static void
check_frame (const GtFrame *frame, const uint8_t *bytes, size_t left)
{
  g_autoptr (GByteArray) again = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  g_assert (gt_wire_encode (frame, again, &error));
  g_assert (again->len <= left && memcmp (again->data, bytes, again->len) == 0);
  check_heads (frame);
}

/* The first byte: the side, and how big the pieces are. */
int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  GtWireSide side = (data[0] & 1) != 0 ? GT_WIRE_FROM_ENGINE : GT_WIRE_FROM_EXECUTOR;
  size_t piece = (size_t) (data[0] >> 1) + 1, done = 1;
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (side);
  g_autoptr (GError) error = NULL;
  gt_wire_decoder_push_fd (decoder, open ("/dev/null", O_RDONLY | O_CLOEXEC));
  for (size_t at = 1; at < size; at += piece) {
    GtFrame frame;
    GtWireStep step = GT_WIRE_NEED_MORE;
    gt_wire_decoder_push (decoder, data + at, MIN (piece, size - at));
    while ((step = gt_wire_decoder_next (decoder, &frame, &error)) == GT_WIRE_HAVE_FRAME) {
      check_frame (&frame, data + done, size - done);
      done += GT_WIRE_HEADER_BYTES + frame.head_bytes + frame.body_bytes;
      if (frame.fd >= 0)
        (void) close (frame.fd);
    }
    if (step == GT_WIRE_BROKEN) {
      g_assert (error != NULL && *error->message != '\0');
      return 0;
    }
  }
  return 0;
}
