#include "executor/wire.h"
#include "executor/wire_head.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define HEAD(text) .head = (text), .head_bytes = sizeof (text) - 1
#define BODY(text) .body = (const guint8 *) (text), .body_bytes = sizeof (text) - 1

static GByteArray *
encoded (const GtFrame *frames, gsize n_frames)
{
  GByteArray *out = g_byte_array_new ();
  for (gsize i = 0; i < n_frames; i++) {
    g_autoptr (GError) error = NULL;
    gboolean good = gt_wire_encode (&frames[i], out, &error);
    g_assert_no_error (error);
    g_assert_true (good);
  }
  return out;
}

static void
assert_same (const GtFrame *a, const GtFrame *b)
{
  g_assert_cmpint (a->type, ==, b->type);
  g_assert_cmpuint (a->job, ==, b->job);
  g_assert_cmpmem (a->head, (int) a->head_bytes, b->head, (int) b->head_bytes);
  g_assert_cmpmem (a->body, (int) a->body_bytes, b->body, (int) b->body_bytes);
}

static const GtFrame stream[] = {
  { .type = GT_WIRE_READY, .fd = -1 },
  { .type = GT_WIRE_CHUNK,
    .job = 7,
    HEAD ("{\"format\":\"rows\"}"),
    BODY ("[1]\n[2]\n"),
    .fd = -1 },
  { .type = GT_WIRE_END, .job = G_MAXUINT64, HEAD ("{\"a\":\"}{[\\\"\"}"), .fd = -1 },
};

static void
test_every_split (void)
{
  g_autoptr (GByteArray) bytes = encoded (stream, G_N_ELEMENTS (stream));
  for (guint first = 0; first <= bytes->len; first++)
    for (guint second = first; second <= bytes->len; second++) {
      g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
      guint cuts[] = { 0, first, second, bytes->len }, seen = 0;
      for (guint i = 0; i < 3; i++) {
        GtFrame frame;
        gt_wire_decoder_push (decoder, bytes->data + cuts[i], cuts[i + 1] - cuts[i]);
        while (gt_wire_decoder_next (decoder, &frame, NULL) == GT_WIRE_HAVE_FRAME)
          assert_same (&frame, &stream[seen++]);
      }
      g_assert_cmpuint (seen, ==, G_N_ELEMENTS (stream));
      g_assert_true (gt_wire_decoder_finish (decoder, NULL));
    }
}

static void
test_byte_by_byte_into_space (void)
{
  g_autoptr (GByteArray) bytes = encoded (stream, G_N_ELEMENTS (stream));
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  guint seen = 0;
  for (guint i = 0; i < bytes->len; i++) {
    GtFrame frame;
    gsize room = 0;
    guint8 *space = gt_wire_decoder_space (decoder, &room);
    g_assert_cmpuint (room, >=, 1);
    *space = bytes->data[i];
    gt_wire_decoder_filled (decoder, 1);
    while (gt_wire_decoder_next (decoder, &frame, NULL) == GT_WIRE_HAVE_FRAME)
      assert_same (&frame, &stream[seen++]);
  }
  g_assert_cmpuint (seen, ==, G_N_ELEMENTS (stream));
}

static void
test_a_big_frame_grows_with_what_arrives (void)
{
  g_autofree guint8 *body = g_malloc0 (1 << 20);
  GtFrame big = { .type = GT_WIRE_CHUNK, .job = 1, HEAD ("{\"format\":\"x\"}"), .fd = -1 };
  big.body = body;
  big.body_bytes = 1 << 20;
  g_autoptr (GByteArray) bytes = encoded (&big, 1);
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  GtFrame frame;
  gsize room = 0, at = 0;
  gt_wire_decoder_push (decoder, bytes->data, GT_WIRE_HEADER_BYTES);
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_NEED_MORE);
  (void) gt_wire_decoder_space (decoder, &room);
  g_assert_cmpuint (room, <=, 65536); /* a mebibyte was only announced */
  for (at = GT_WIRE_HEADER_BYTES; at < bytes->len; at += room) {
    guint8 *space = gt_wire_decoder_space (decoder, &room);
    room = MIN (room, bytes->len - at);
    memcpy (space, bytes->data + at, room);
    gt_wire_decoder_filled (decoder, room);
  }
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_HAVE_FRAME);
  assert_same (&frame, &big);
}

/* A good END for job 1, then one byte sequence of it overwritten. */
typedef struct {
  const char *name;
  gsize at, n_bytes;
  guint8 bytes[8];
  GtWireError code;
  const char *says;
} Damage;

static const Damage damages[] = {
  { "magic", 0, 1, { 'h' }, GT_WIRE_ERROR_MAGIC, "not how a frame begins" },
  { "magic version", 3, 1, { 2 }, GT_WIRE_ERROR_MAGIC, "not how a frame begins" },
  { "unknown type", 4, 2, { 99, 0 }, GT_WIRE_ERROR_TYPE, "type 99" },
  { "type of the other side", 4, 1, { GT_WIRE_JOB }, GT_WIRE_ERROR_TYPE, "JOB: is not sent by" },
  { "undefined flag", 6, 1, { 2 }, GT_WIRE_ERROR_FLAGS, "0x0002" },
  { "descriptor flag", 6, 1, { 1 }, GT_WIRE_ERROR_FLAGS, "0x0001" },
  { "length", 8, 4, { 255, 255, 255, 255 }, GT_WIRE_ERROR_SIZE, "its body has" },
  { "no length", 8, 4, { 0 }, GT_WIRE_ERROR_SIZE, "longer than the frame" },
  { "head length", 12, 4, { 255, 255, 255, 255 }, GT_WIRE_ERROR_SIZE, "longer than the frame" },
  { "no head", 12, 1, { 0 }, GT_WIRE_ERROR_HEAD, "head is missing" },
  { "no job", 16, 8, { 0 }, GT_WIRE_ERROR_JOB, "names no job" },
  { "job where none is due", 4, 1, { GT_WIRE_READY }, GT_WIRE_ERROR_JOB, "belongs to no job" },
  { "head no object", 24, 1, { '[' }, GT_WIRE_ERROR_HEAD, "no JSON object" },
  { "head no object at its end", 25, 1, { '{' }, GT_WIRE_ERROR_HEAD, "no JSON object" },
  { "memfd without flag", 4, 1, { GT_WIRE_MEMFD }, GT_WIRE_ERROR_FLAGS, "MEMFD" },
};

static void
test_damage (gconstpointer data)
{
  const Damage *damage = data;
  GtFrame good = { .type = GT_WIRE_END, .job = 1, HEAD ("{}"), .fd = -1 };
  g_autoptr (GByteArray) bytes = encoded (&good, 1);
  memcpy (bytes->data + damage->at, damage->bytes, damage->n_bytes);
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  gt_wire_decoder_push (decoder, bytes->data, bytes->len);
  for (int again = 0; again < 2; again++) {
    GtFrame frame;
    g_autoptr (GError) error = NULL;
    g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, &error), ==, GT_WIRE_BROKEN);
    g_assert_error (error, GT_WIRE_ERROR_DOMAIN, (gint) damage->code);
    g_assert_nonnull (strstr (error->message, damage->says));
  }
  g_assert_false (gt_wire_decoder_finish (decoder, NULL));
}

static void
test_depth (void)
{
  for (int depth = GT_WIRE_HEAD_DEPTH; depth <= GT_WIRE_HEAD_DEPTH + 1; depth++) {
    g_autoptr (GString) head = g_string_new ("{\"a\":");
    for (int i = 1; i < depth; i++)
      g_string_append_c (head, '[');
    for (int i = 1; i < depth; i++)
      g_string_append_c (head, ']');
    g_string_append_c (head, '}');
    GtFrame frame
        = { .type = GT_WIRE_END, .job = 1, .head = head->str, .head_bytes = head->len, .fd = -1 };
    g_autoptr (GByteArray) out = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    g_assert_cmpint (gt_wire_encode (&frame, out, &error), ==, depth <= GT_WIRE_HEAD_DEPTH);
  }
}

static void
test_descriptors (void)
{
  GtFrame memfd = { .type = GT_WIRE_MEMFD, .job = 1, HEAD ("{}"), .fd = 0 };
  g_autoptr (GByteArray) bytes = encoded (&memfd, 1);
  GtFrame frame;
  g_autoptr (GError) error = NULL;
  int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC), spare = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  gt_wire_decoder_push_fd (decoder, fd);
  gt_wire_decoder_push (decoder, bytes->data, bytes->len);
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_HAVE_FRAME);
  g_assert_cmpint (frame.fd, ==, fd);
  (void) close (frame.fd);

  gt_wire_decoder_push_fd (decoder, spare);
  g_assert_false (gt_wire_decoder_finish (decoder, NULL)); /* it came without its frame */
  gt_wire_decoder_push (decoder, bytes->data, bytes->len);
  gt_wire_decoder_push (decoder, bytes->data, bytes->len);
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_HAVE_FRAME);
  (void) close (frame.fd);
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, &error), ==, GT_WIRE_BROKEN);
  g_assert_error (error, GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_DESCRIPTOR);
}

static void
test_descriptors_that_nobody_fetches_are_closed (void)
{
  int fds[6];
  GtWireDecoder *decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  GtFrame frame;
  for (int i = 0; i < 6; i++) {
    fds[i] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    gt_wire_decoder_push_fd (decoder, fds[i]);
  }
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_BROKEN);
  gt_wire_decoder_free (decoder);
  for (int i = 0; i < 6; i++)
    g_assert_cmpint (fcntl (fds[i], F_GETFD), ==, -1);
}

static void
test_the_end_of_the_stream (void)
{
  g_autoptr (GByteArray) bytes = encoded (stream, 1);
  g_autoptr (GtWireDecoder) decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  g_autoptr (GError) error = NULL;
  GtFrame frame;
  gt_wire_decoder_push (decoder, bytes->data, 5);
  g_assert_cmpint (gt_wire_decoder_next (decoder, &frame, NULL), ==, GT_WIRE_NEED_MORE);
  g_assert_false (gt_wire_decoder_finish (decoder, &error));
  g_assert_error (error, GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_TRUNCATED);
}

static void
test_encoder_refuses_what_the_decoder_would (void)
{
  static const GtFrame bad[] = {
    { .type = (GtWireType) 77, .job = 1, HEAD ("{}"), .fd = -1 },
    { .type = GT_WIRE_END, .job = 0, HEAD ("{}"), .fd = -1 },
    { .type = GT_WIRE_END, .job = 1, .fd = -1 },
    { .type = GT_WIRE_END, .job = 1, HEAD ("{}"), BODY ("x"), .fd = -1 },
    { .type = GT_WIRE_END, .job = 1, HEAD ("{}"), .fd = 0 },
    { .type = GT_WIRE_MEMFD, .job = 1, HEAD ("{}"), .fd = -1 },
    { .type = GT_WIRE_READY, .job = 1, .fd = -1 },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GByteArray) out = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    g_assert_false (gt_wire_encode (&bad[i], out, &error));
    g_assert_nonnull (error);
    g_assert_cmpuint (out->len, ==, 0);
  }
}

static void
test_heads_round_trip (void)
{
  char message[] = "no \"such\" table: t", name[] = "syntax";
  GtFailure failure = { .class_name = name, .message = message, .statement = 2 };
  GtFailure back;
  char *text = gt_failure_text (&failure);
  g_autoptr (GError) error = NULL;
  GtFrame frame = { .type = GT_WIRE_ERROR, .job = 1, .head = text, .head_bytes = strlen (text) };
  g_assert_true (gt_failure_parse (&frame, &back, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (back.message, ==, message);
  g_assert_cmpint (back.statement, ==, 2);
  g_assert_null (back.detail);
  gt_failure_clear (&back);
  free (text);
}

/* What a library says may be of any bytes; a head is UTF-8. */
static void
test_heads_of_odd_text (void)
{
  char message[] = "\x01 \"tab\t\" \\ \xc3\xbc \xff", name[] = "query";
  GtFailure failure = { .class_name = name, .message = message }, back;
  GtProgress progress = { .percent = (double) NAN }, told;
  char *text = gt_failure_text (&failure), *number = gt_progress_text (&progress);
  GtFrame frame = { .type = GT_WIRE_ERROR, .job = 1, .head = text, .head_bytes = strlen (text) };
  g_assert_true (gt_failure_parse (&frame, &back, NULL));
  g_assert_cmpstr (back.message, ==, "\x01 \"tab\t\" \\ \xc3\xbc \xef\xbf\xbd");
  gt_failure_clear (&back);
  frame = (GtFrame){ .type = GT_WIRE_PROGRESS, .head = number, .head_bytes = strlen (number) };
  g_assert_true (gt_progress_parse (&frame, &told, NULL));
  g_assert_cmpfloat (told.percent, ==, -1.0);
  free (text);
  free (number);
}

static void
test_heads_name_the_member_that_is_wrong (void)
{
  static const struct {
    const char *head, *says;
  } bad[] = {
    { "{}", "\"kind\" is missing" },
    { "{\"kind\":1}", "\"kind\" is not a string" },
    { "{\"kind\":\"sql\",\"threads\":1.5}", "\"threads\" is not an integer" },
    { "{\"kind\":\"sql\",\"progress\":1}", "\"progress\" is not true or false" },
    { "{\"kind\":\"sql\",\"soft_ns\":99999999999999999999}", "too big" },
    { "{\"kind\":\"a\",\"kind\":\"b\"}", "duplicate" },
    { "{kind}", "JOB: its head" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    GtFrame frame = { .type = GT_WIRE_JOB,
                      .job = 1,
                      .head = bad[i].head,
                      .head_bytes = strlen (bad[i].head),
                      .fd = -1 };
    GtJobHead out;
    g_autoptr (GError) error = NULL;
    g_assert_false (gt_job_parse (&frame, &out, &error));
    g_assert_error (error, GT_WIRE_ERROR_DOMAIN, GT_WIRE_ERROR_HEAD);
    g_assert_nonnull (strstr (error->message, bad[i].says));
    g_assert_null (out.kind);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/wire/frames_survive_every_two_splits", test_every_split);
  g_test_add_func ("/wire/frames_survive_single_bytes", test_byte_by_byte_into_space);
  g_test_add_func ("/wire/memory_follows_what_arrives", test_a_big_frame_grows_with_what_arrives);
  for (gsize i = 0; i < G_N_ELEMENTS (damages); i++) {
    g_autofree char *path = g_strdup_printf ("/wire/damage_is_named/%s", damages[i].name);
    g_test_add_data_func (path, &damages[i], test_damage);
  }
  g_test_add_func ("/wire/heads_have_a_depth", test_depth);
  g_test_add_func ("/wire/descriptors_follow_their_frames", test_descriptors);
  g_test_add_func ("/wire/unfetched_descriptors_are_closed",
                   test_descriptors_that_nobody_fetches_are_closed);
  g_test_add_func ("/wire/half_a_frame_is_an_error", test_the_end_of_the_stream);
  g_test_add_func ("/wire/encoder_and_decoder_agree", test_encoder_refuses_what_the_decoder_would);
  g_test_add_func ("/wire/heads_round_trip", test_heads_round_trip);
  g_test_add_func ("/wire/heads_are_utf8_and_finite", test_heads_of_odd_text);
  g_test_add_func ("/wire/heads_name_what_is_wrong", test_heads_name_the_member_that_is_wrong);
  return g_test_run ();
}
