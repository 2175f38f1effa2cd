/* The executor protocol's frames: docs/executor-wire.md as C. Pure: no I/O but closing descriptors
 * that nobody fetched. Everything here is for one thread at a time.
 *
 * A frame is a header of GT_WIRE_HEADER_BYTES, then `head` (a JSON object or nothing), then `body`
 * (bytes whose meaning belongs to the kind of job). Whoever relays jobs reads heads only. */
#pragma once

#include <glib.h>

#define GT_WIRE_VERSION      1
#define GT_WIRE_HEADER_BYTES 24
/* The first four bytes of every frame, little-endian: "gtx" and the header's version. */
#define GT_WIRE_MAGIC      0x01787467U
#define GT_WIRE_HEAD_BYTES 65536
#define GT_WIRE_HEAD_DEPTH 16
#define GT_WIRE_BODY_BYTES (64U << 20) /* of a job and of its result */
/* A job id of a frame that belongs to no job. Ids of jobs are never 0 and never used twice. */
#define GT_WIRE_NO_JOB 0

/* Whose frames: a decoder accepts only those of the other side. */
typedef enum { GT_WIRE_FROM_EXECUTOR, GT_WIRE_FROM_ENGINE } GtWireSide;

/* name, number, sender, belongs to a job, head required, most body bytes, carries a descriptor,
 * text */
#define GT_WIRE_TYPES(X)                                                                           \
  X (HELLO, 1, EXECUTOR, FALSE, TRUE, 0, FALSE, "who I am, the first frame")                       \
  X (READY, 2, EXECUTOR, FALSE, FALSE, 0, FALSE, "warm: after hello, and after each reset")        \
  X (ACK, 3, EXECUTOR, TRUE, TRUE, 0, FALSE, "what became of an interrupt")                        \
  X (PROGRESS, 4, EXECUTOR, TRUE, TRUE, 0, FALSE, "how far the job is")                            \
  X (CHUNK, 5, EXECUTOR, TRUE, TRUE, 1 << 20, FALSE, "a piece of the result")                      \
  X (MEMFD, 6, EXECUTOR, TRUE, TRUE, 0, TRUE, "a whole result in a sealed memory file")            \
  X (RESULT, 7, EXECUTOR, TRUE, TRUE, GT_WIRE_BODY_BYTES, FALSE, "the answer: a value")            \
  X (ERROR, 8, EXECUTOR, TRUE, TRUE, 1 << 20, FALSE, "the answer: the job failed")                 \
  X (REFUSED, 9, EXECUTOR, TRUE, TRUE, 0, FALSE, "the answer: the job was not begun")              \
  X (END, 10, EXECUTOR, TRUE, TRUE, 0, FALSE, "facts; the job's last frame, after its answer")     \
  X (JOB, 32, ENGINE, TRUE, TRUE, GT_WIRE_BODY_BYTES, FALSE, "do this")                            \
  X (INTERRUPT, 33, ENGINE, TRUE, FALSE, 0, FALSE, "stop that job, if it is the one you run")      \
  X (RESET, 34, ENGINE, FALSE, FALSE, 0, FALSE, "forget all state, answer ready; only when idle")  \
  X (BYE, 35, ENGINE, FALSE, FALSE, 0, FALSE, "exit with 0; only when idle")

typedef enum {
#define X(name, number, sender, job, head, body, fd, text) GT_WIRE_##name = (number),
  GT_WIRE_TYPES (X)
#undef X
} GtWireType;

/* Header flags. FD: a descriptor came by SCM_RIGHTS with the frame's first byte. Others: malformed.
 */
#define GT_WIRE_FLAG_FD 1U

#define GT_WIRE_ERRORS(X)                                                                          \
  X (MAGIC, "not a frame of this protocol")                                                        \
  X (TYPE, "no such frame, or not one of that side's")                                             \
  X (FLAGS, "flags that are not defined for the frame")                                            \
  X (JOB, "a job's frame without a job, or the other way round")                                   \
  X (SIZE, "bigger than the frame may be")                                                         \
  X (HEAD, "the head is missing, no JSON object, nested too deep, or of another shape")            \
  X (DESCRIPTOR, "a descriptor is missing or was not announced")                                   \
  X (TRUNCATED, "the stream ended inside a frame")

typedef enum {
#define X(name, text) GT_WIRE_ERROR_##name,
  GT_WIRE_ERRORS (X)
#undef X
} GtWireError;

#define GT_WIRE_ERROR_DOMAIN (gt_wire_error_quark ())
GQuark gt_wire_error_quark (void);

typedef struct {
  GtWireType type;
  guint64 job;        /* GT_WIRE_NO_JOB where the type says so */
  const char *head;   /* JSON text, not terminated; NULL when head_bytes is 0 */
  gsize head_bytes;   /* <= GT_WIRE_HEAD_BYTES */
  const guint8 *body; /* NULL when body_bytes is 0 */
  gsize body_bytes;   /* <= what the type allows */
  int fd;             /* -1: none */
} GtFrame;

const char *gt_wire_type_name (GtWireType type); /* "hello", ...; "?" for a number that is none */

/* The header alone, for writev(header, head, body). Refuses what a decoder would refuse. */
gboolean gt_wire_encode_header (const GtFrame *frame, guint8 header[GT_WIRE_HEADER_BYTES],
                                GError **error);

/* Appends the whole frame. `frame->fd` only decides the flag: whoever writes sends it, with the
 * first byte. */
gboolean gt_wire_encode (const GtFrame *frame, GByteArray *out, GError **error);

/* Incremental: bytes in, in pieces of any size; frames out. Its memory is what has arrived, rounded
 * up: a header that announces 64 MiB costs nothing until they come. */
typedef struct _GtWireDecoder GtWireDecoder;

GtWireDecoder *gt_wire_decoder_new (GtWireSide from);
void gt_wire_decoder_free (GtWireDecoder *self); /* closes descriptors that were not fetched */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GtWireDecoder, gt_wire_decoder_free)

/* Where read(2) shall put bytes: at least one. Invalidates the frame that _next gave. Then say how
 * many came. */
guint8 *gt_wire_decoder_space (GtWireDecoder *self, gsize *bytes);
void gt_wire_decoder_filled (GtWireDecoder *self, gsize bytes);

/* A copy instead, of any size. */
void gt_wire_decoder_push (GtWireDecoder *self, const void *bytes, gsize n_bytes);

/* Descriptors that came with the bytes of the next _filled or _push; in order. Takes `fd`. */
void gt_wire_decoder_push_fd (GtWireDecoder *self, int fd);

typedef enum { GT_WIRE_NEED_MORE, GT_WIRE_HAVE_FRAME, GT_WIRE_BROKEN } GtWireStep;

/* The next whole frame, checked: type, side, job, sizes, head is a JSON object. Its pointers are
 * into the decoder, valid until the next _space, _push or _free; its fd is the caller's.
 * BROKEN is for good: `error` names what is wrong, and every later call says it again. */
GtWireStep gt_wire_decoder_next (GtWireDecoder *self, GtFrame *frame, GError **error);

/* At the end of the stream: FALSE with TRUNCATED when it ended inside a frame. */
gboolean gt_wire_decoder_finish (GtWireDecoder *self, GError **error);
