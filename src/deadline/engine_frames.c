/* What an executor's frames mean to its slot. */
#include "deadline/engine_private.h"

#include "executor/wire_head.h"

static void
refuse (GtLink *link, const char *message)
{
  gt_slot_garbage (link->slot, message);
}

static void
on_hello (GtLink *link, GtFrame *frame)
{
  g_auto (GtHello) hello = { 0 };
  g_autoptr (GError) error = NULL;
  if (!gt_hello_parse (frame, &hello, &error)) {
    refuse (link, error->message);
    return;
  }
  if (link->greeted || hello.protocol != GT_WIRE_VERSION) {
    g_autofree char *text = g_strdup_printf (
        link->greeted ? "the executor said hello twice (protocol %" G_GINT64_FORMAT ")"
                      : "the executor speaks protocol %" G_GINT64_FORMAT
                        ", this engine another: use one of the same release",
        hello.protocol);
    refuse (link, text);
    return;
  }
  link->greeted = TRUE;
  link->threads = hello.threads;
  link->fds = hello.fds;
}

static void
on_ready (GtLink *link, GtFrame *frame)
{
  g_auto (GtReady) ready = { 0 };
  g_autoptr (GError) error = NULL;
  if (!gt_ready_parse (frame, &ready, &error))
    refuse (link, error->message);
  else if (!link->greeted)
    refuse (link, "the executor is ready without having said hello");
  else {
    link->ready = TRUE;
    gt_link_try_warm (link);
  }
}

static void
on_ack (GtLink *link, GtFrame *frame)
{
  g_auto (GtAck) ack = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_ack_parse (frame, &ack, &error))
    gt_slot_ack (link->slot, frame->job, &ack);
  else
    refuse (link, error->message);
}

static void
on_progress (GtLink *link, GtFrame *frame)
{
  g_auto (GtProgress) progress = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_progress_parse (frame, &progress, &error))
    gt_slot_progress (link->slot, frame->job, &progress);
  else
    refuse (link, error->message);
}

/* Takes the frame's descriptor. */
static GtPart *
part_of (GtFrame *frame)
{
  GtPart *part = gt_part_new ((int) frame->type, frame->head, frame->head_bytes, frame->body,
                              frame->body_bytes, frame->fd);
  frame->fd = -1;
  return part;
}

static void
on_chunk (GtLink *link, GtFrame *frame)
{
  g_auto (GtChunk) head = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_chunk_parse (frame, &head, &error))
    gt_slot_part (link->slot, frame->job, part_of (frame));
  else
    refuse (link, error->message);
}

static void
on_memfd (GtLink *link, GtFrame *frame)
{
  g_auto (GtMemfd) head = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_memfd_parse (frame, &head, &error))
    gt_slot_part (link->slot, frame->job, part_of (frame));
  else
    refuse (link, error->message);
}

static void
on_result (GtLink *link, GtFrame *frame)
{
  g_auto (GtResultHead) head = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_result_parse (frame, &head, &error))
    gt_slot_answer (link->slot, frame->job, part_of (frame), NULL);
  else
    refuse (link, error->message);
}

static void
on_failure (GtLink *link, GtFrame *frame)
{
  g_auto (GtFailure) failure = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_failure_parse (frame, &failure, &error))
    gt_slot_answer (link->slot, frame->job, part_of (frame), &failure);
  else
    refuse (link, error->message);
}

static void
on_end (GtLink *link, GtFrame *frame)
{
  g_auto (GtEnd) end = { 0 };
  g_autoptr (GError) error = NULL;
  if (gt_end_parse (frame, &end, &error))
    gt_slot_end (link->slot, frame->job, &end);
  else
    refuse (link, error->message);
}

void
gt_link_on_frame (GtLink *link, GtFrame *frame)
{
  static void (*const takers[]) (GtLink *, GtFrame *) = {
    [GT_WIRE_HELLO] = on_hello,       [GT_WIRE_READY] = on_ready,   [GT_WIRE_ACK] = on_ack,
    [GT_WIRE_PROGRESS] = on_progress, [GT_WIRE_CHUNK] = on_chunk,   [GT_WIRE_MEMFD] = on_memfd,
    [GT_WIRE_RESULT] = on_result,     [GT_WIRE_ERROR] = on_failure, [GT_WIRE_REFUSED] = on_failure,
    [GT_WIRE_END] = on_end,
  };
  /* The decoder lets only the executor's frames through. */
  g_assert ((guint) frame->type < G_N_ELEMENTS (takers) && takers[frame->type] != NULL);
  takers[frame->type](link, frame);
}
