#include "executor/wire.h"

#include <string.h>
#include <unistd.h>

G_DEFINE_QUARK (gt - wire - error, gt_wire_error)

#define MAX_PENDING_FDS 4
/* Room for one read: many small frames, or the beginning of a big one. */
#define READ_BYTES 16384
/* A buffer of this size was for one big frame. */
#define BIG_BYTES 1048576

typedef struct {
  const char *name;
  GtWireSide sender;
  gboolean has_job, needs_head, has_fd;
  guint32 max_body;
} TypeInfo;

/* Where a header keeps what. */
enum { AT_MAGIC = 0, AT_TYPE = 4, AT_FLAGS = 6, AT_LENGTH = 8, AT_HEAD = 12, AT_JOB = 16 };

struct _GtWireDecoder {
  GtWireSide from;
  guint8 *data; /* [start, end) has arrived and was not given out */
  gsize capacity, start, end;
  int fds[MAX_PENDING_FDS];
  guint n_fds;
  GError *broken;
};

static gboolean
type_info (guint type, TypeInfo *info)
{
  switch (type) {
#define X(NAME, number, side, job, head, body, fd, text)                                           \
  case (number):                                                                                   \
    *info = (TypeInfo){ #NAME, GT_WIRE_FROM_##side, job, head, fd, body };                         \
    return TRUE;
    GT_WIRE_TYPES (X)
#undef X
  default:
    return FALSE;
  }
}

const char *
gt_wire_type_name (GtWireType type)
{
  switch (type) {
#define X(NAME, number, side, job, head, body, fd, text)                                           \
  case GT_WIRE_##NAME:                                                                             \
    return #NAME;
    GT_WIRE_TYPES (X)
#undef X
  }
  return "?";
}

#define FAIL(error, code, ...)                                                                     \
  (g_set_error (error, GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_##code, __VA_ARGS__), FALSE)

/* Braces and brackets are counted outside of strings; that the text is JSON is for the parser. */
static gboolean
check_head (const TypeInfo *info, const char *head, gsize bytes, GError **error)
{
  gsize depth = 0;
  gboolean in_string = FALSE;
  if (bytes == 0)
    return !info->needs_head || FAIL (error, HEAD, "%s: its head is missing", info->name);
  if (head[0] != '{' || head[bytes - 1] != '}')
    return FAIL (error, HEAD, "%s: its head is no JSON object from '{' to '}'", info->name);
  for (gsize i = 0; i < bytes; i++) {
    char c = head[i];
    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = FALSE;
    } else if (c == '"') {
      in_string = TRUE;
    } else if (c == '{' || c == '[') {
      if (++depth > GT_WIRE_HEAD_DEPTH)
        return FAIL (error, HEAD, "%s: its head is nested more than %d deep", info->name,
                     GT_WIRE_HEAD_DEPTH);
    } else if ((c == '}' || c == ']') && depth > 0) {
      depth--;
    }
  }
  return TRUE;
}

/* What a header can be wrong in, for both directions. */
static gboolean
check_sizes (const TypeInfo *info, guint64 job, guint64 head, guint64 body, GError **error)
{
  if (info->has_job && job == GT_WIRE_NO_JOB)
    return FAIL (error, JOB, "%s: names no job", info->name);
  if (!info->has_job && job != GT_WIRE_NO_JOB)
    return FAIL (error, JOB, "%s: belongs to no job, but names %" G_GUINT64_FORMAT, info->name,
                 job);
  if (head > GT_WIRE_HEAD_BYTES)
    return FAIL (error, SIZE, "%s: its head has %" G_GUINT64_FORMAT " bytes, at most %d",
                 info->name, head, GT_WIRE_HEAD_BYTES);
  if (info->needs_head && head == 0)
    return FAIL (error, HEAD, "%s: its head is missing", info->name);
  if (body > info->max_body)
    return FAIL (error, SIZE, "%s: its body has %" G_GUINT64_FORMAT " bytes, at most %u",
                 info->name, body, info->max_body);
  return TRUE;
}

static void
put_le (guint8 *at, guint64 value, guint bytes)
{
  for (guint i = 0; i < bytes; i++)
    at[i] = (guint8) (value >> (8 * i));
}

static guint64
get_le (const guint8 *at, guint bytes)
{
  guint64 value = 0;
  for (guint i = 0; i < bytes; i++)
    value |= (guint64) at[i] << (8 * i);
  return value;
}

gboolean
gt_wire_encode_header (const GtFrame *frame, guint8 header[GT_WIRE_HEADER_BYTES], GError **error)
{
  TypeInfo info;
  if (!type_info (frame->type, &info))
    return FAIL (error, TYPE, "no frame has the type %d", (int) frame->type);
  if (info.has_fd != (frame->fd >= 0))
    return FAIL (error, DESCRIPTOR, "%s: %s", info.name,
                 info.has_fd ? "its descriptor is missing" : "carries no descriptor");
  if (!check_sizes (&info, frame->job, frame->head_bytes, frame->body_bytes, error)
      || !check_head (&info, frame->head, frame->head_bytes, error))
    return FALSE;
  put_le (header + AT_MAGIC, GT_WIRE_MAGIC, 4);
  put_le (header + AT_TYPE, frame->type, 2);
  put_le (header + AT_FLAGS, info.has_fd ? GT_WIRE_FLAG_FD : 0, 2);
  put_le (header + AT_LENGTH, frame->head_bytes + frame->body_bytes, 4);
  put_le (header + AT_HEAD, frame->head_bytes, 4);
  put_le (header + AT_JOB, frame->job, 8);
  return TRUE;
}

gboolean
gt_wire_encode (const GtFrame *frame, GByteArray *out, GError **error)
{
  guint8 header[GT_WIRE_HEADER_BYTES];
  if (!gt_wire_encode_header (frame, header, error))
    return FALSE;
  g_byte_array_append (out, header, sizeof header);
  if (frame->head_bytes > 0)
    g_byte_array_append (out, (const guint8 *) frame->head, (guint) frame->head_bytes);
  if (frame->body_bytes > 0)
    g_byte_array_append (out, frame->body, (guint) frame->body_bytes);
  return TRUE;
}

GtWireDecoder *
gt_wire_decoder_new (GtWireSide from)
{
  GtWireDecoder *self = g_new0 (GtWireDecoder, 1);
  self->from = from;
  return self;
}

void
gt_wire_decoder_free (GtWireDecoder *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n_fds; i++)
    (void) close (self->fds[i]);
  g_clear_error (&self->broken);
  g_free (self->data);
  g_free (self);
}

/* Makes room for at least `bytes`: moves what is left to the front; grows by doubling, so that no
 * more than twice of what has arrived is ever allocated. After a big frame the buffer shrinks. */
static void
reserve (GtWireDecoder *self, gsize bytes)
{
  gsize used = self->end - self->start;
  if (self->start > 0 && used > 0)
    memmove (self->data, self->data + self->start, used);
  self->start = 0;
  self->end = used;
  gsize wanted = used + bytes;
  if (self->capacity < wanted || (self->capacity > BIG_BYTES && wanted < READ_BYTES)) {
    self->capacity = MAX (wanted, READ_BYTES);
    self->data = g_realloc (self->data, self->capacity);
  }
}

guint8 *
gt_wire_decoder_space (GtWireDecoder *self, gsize *bytes)
{
  gsize used = self->end - self->start;
  reserve (self, MAX (used, READ_BYTES));
  *bytes = self->capacity - self->end;
  return self->data + self->end;
}

void
gt_wire_decoder_filled (GtWireDecoder *self, gsize bytes)
{
  g_assert (bytes <= self->capacity - self->end);
  self->end += bytes;
}

void
gt_wire_decoder_push (GtWireDecoder *self, const void *bytes, gsize n_bytes)
{
  if (n_bytes == 0)
    return;
  reserve (self, n_bytes);
  memcpy (self->data + self->end, bytes, n_bytes);
  self->end += n_bytes;
}

void
gt_wire_decoder_push_fd (GtWireDecoder *self, int fd)
{
  if (self->n_fds < MAX_PENDING_FDS) {
    self->fds[self->n_fds++] = fd;
    return;
  }
  (void) close (fd);
  if (self->broken == NULL)
    (void) FAIL (&self->broken, DESCRIPTOR, "more than %d descriptors came without a frame",
                 MAX_PENDING_FDS);
}

static gboolean
parse_header (GtWireDecoder *self, const guint8 *at, TypeInfo *info, GtFrame *frame, GError **error)
{
  guint64 magic = get_le (at + AT_MAGIC, 4);
  guint type = (guint) get_le (at + AT_TYPE, 2);
  guint64 flags = get_le (at + AT_FLAGS, 2);
  guint64 length = get_le (at + AT_LENGTH, 4);
  guint64 head = get_le (at + AT_HEAD, 4);
  if (magic != GT_WIRE_MAGIC)
    return FAIL (error, MAGIC, "0x%08x is not how a frame begins", (guint) magic);
  if (!type_info (type, info))
    return FAIL (error, TYPE, "no frame has the type %u", type);
  if (info->sender != self->from)
    return FAIL (error, TYPE, "%s: is not sent by the %s", info->name,
                 self->from == GT_WIRE_FROM_ENGINE ? "engine" : "executor");
  if (flags != (info->has_fd ? GT_WIRE_FLAG_FD : 0))
    return FAIL (error, FLAGS, "%s: flags 0x%04x are not its", info->name, (guint) flags);
  frame->job = get_le (at + AT_JOB, 8);
  if (head > length)
    return FAIL (error, SIZE,
                 "%s: its head (%" G_GUINT64_FORMAT
                 " bytes) is longer than the frame (%" G_GUINT64_FORMAT ")",
                 info->name, head, length);
  frame->type = (GtWireType) type;
  frame->head_bytes = head;
  frame->body_bytes = length - head;
  return check_sizes (info, frame->job, head, length - head, error);
}

static gboolean
take_fd (GtWireDecoder *self, const TypeInfo *info, GtFrame *frame, GError **error)
{
  frame->fd = -1;
  if (!info->has_fd)
    return TRUE;
  if (self->n_fds == 0)
    return FAIL (error, DESCRIPTOR, "%s: its descriptor did not come", info->name);
  frame->fd = self->fds[0];
  self->n_fds--;
  memmove (self->fds, self->fds + 1, self->n_fds * sizeof self->fds[0]);
  return TRUE;
}

static GtWireStep
step (GtWireDecoder *self, GtFrame *frame, GError **error)
{
  TypeInfo info;
  gsize used = self->end - self->start;
  if (used < GT_WIRE_HEADER_BYTES)
    return GT_WIRE_NEED_MORE;
  const guint8 *at = self->data + self->start;
  if (!parse_header (self, at, &info, frame, error))
    return GT_WIRE_BROKEN;
  if (used - GT_WIRE_HEADER_BYTES < frame->head_bytes + frame->body_bytes)
    return GT_WIRE_NEED_MORE;
  const guint8 *payload = at + GT_WIRE_HEADER_BYTES;
  if (frame->head_bytes > 0)
    frame->head = (const char *) payload;
  if (frame->body_bytes > 0)
    frame->body = payload + frame->head_bytes;
  if (!check_head (&info, frame->head, frame->head_bytes, error)
      || !take_fd (self, &info, frame, error))
    return GT_WIRE_BROKEN;
  self->start += GT_WIRE_HEADER_BYTES + frame->head_bytes + frame->body_bytes;
  return GT_WIRE_HAVE_FRAME;
}

GtWireStep
gt_wire_decoder_next (GtWireDecoder *self, GtFrame *frame, GError **error)
{
  *frame = (GtFrame){ .fd = -1 };
  GtWireStep result = GT_WIRE_BROKEN;
  if (self->broken == NULL)
    result = step (self, frame, &self->broken);
  if (result == GT_WIRE_HAVE_FRAME)
    return result;
  *frame = (GtFrame){ .fd = -1 };
  if (result == GT_WIRE_BROKEN && error != NULL)
    *error = g_error_copy (self->broken);
  return result;
}

gboolean
gt_wire_decoder_finish (GtWireDecoder *self, GError **error)
{
  gsize left = self->end - self->start;
  if (self->broken != NULL) {
    if (error != NULL)
      *error = g_error_copy (self->broken);
    return FALSE;
  }
  if (left > 0)
    return FAIL (error, TRUNCATED, "the stream ended %" G_GSIZE_FORMAT " bytes into a frame", left);
  return self->n_fds == 0 || FAIL (error, DESCRIPTOR, "a descriptor came without its frame");
}
