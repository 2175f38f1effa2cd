/* The deadline thread's side of one executor: its socket and its family. */
#include "deadline/engine_private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* At most so much of one socket in one round: the other slots and the timers come in between. */
#define READ_ROUND (1 << 20)
/* What an executor wrote before it died is read to its end; its children may hold the socket and
 * write on, so there is a bound. */
#define READ_LAST (8 << 20)
#define MAX_FDS   8

GtLink *
gt_link_new (GtEngine *engine, GtSlot *slot)
{
  GtLink *link = g_new0 (GtLink, 1);
  link->engine = engine;
  link->slot = slot;
  link->socket = -1;
  link->decoder = gt_wire_decoder_new (GT_WIRE_FROM_EXECUTOR);
  link->with_helper = TRUE;
  link->keeper_folder = link->executor_folder = -1;
  g_queue_init (&link->out);
  return link;
}

void
gt_link_free (GtLink *link)
{
  if (link->socket >= 0)
    close (link->socket);
  if (link->keeper_folder >= 0)
    close (link->keeper_folder);
  if (link->executor_folder >= 0)
    close (link->executor_folder);
  gt_wire_decoder_free (link->decoder);
  g_queue_clear_full (&link->out, (GDestroyNotify) g_bytes_unref);
  g_free (link->temp);
  g_free (link->problem);
  g_free (link);
}

static void
close_socket (GtLink *link)
{
  if (link->socket >= 0) {
    /* Closing alone would not do: a child that is just being started has a copy until it executes,
     * and the set would go on reporting a link that may be freed by then. */
    epoll_ctl (link->engine->epoll_fd, EPOLL_CTL_DEL, link->socket, NULL);
    close (link->socket);
  }
  link->socket = -1;
  g_queue_clear_full (&link->out, (GDestroyNotify) g_bytes_unref);
  g_queue_init (&link->out);
}

static void
watch_socket (GtLink *link, int operation)
{
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = link };
  if (link->out.length > 0)
    event.events |= EPOLLOUT;
  epoll_ctl (link->engine->epoll_fd, operation, link->socket, &event);
}

static void
watch_family (GtLink *link)
{
  struct epoll_event family = { .events = EPOLLIN };
  family.data.ptr = (char *) link + 1; /* told from the socket: links are aligned */
  epoll_ctl (link->engine->epoll_fd, EPOLL_CTL_ADD, gt_family_fd (link->family), &family);
}

void
gt_link_started (GtLink *link)
{
  link->with_helper = FALSE;
  if (link->problem != NULL) {
    GtSlot *slot = g_steal_pointer (&link->slot);
    slot->io = NULL;
    gt_slot_start_failed (slot, link->problem);
    g_ptr_array_add (link->engine->parted, link);
    return;
  }
  watch_family (link);
  if (link->kill_wanted)
    gt_link_kill (link);
  else
    watch_socket (link, EPOLL_CTL_ADD);
}

void
gt_link_part (GtLink *link)
{
  link->slot = NULL;
  close_socket (link);
  if (!link->with_helper && link->family != NULL)
    epoll_ctl (link->engine->epoll_fd, EPOLL_CTL_DEL, gt_family_fd (link->family), NULL);
  /* Events of this round may still name it: it is handed on when they are done. */
  g_ptr_array_add (link->engine->parted, link);
}

void
gt_link_kill (GtLink *link)
{
  link->kill_wanted = TRUE;
  if (link->with_helper)
    return;
  gt_family_kill (link->family);
  close_socket (link);
  if (link->held) {
    link->held = FALSE;
    watch_family (link);
  }
}

/* Both leave the epoll set: the end of the socket and of the family would be reported again and
 * again, and what the executor has said must be read before its end is believed. */
void
gt_link_hold (GtLink *link)
{
  if (link->held || link->socket < 0)
    return;
  link->held = TRUE;
  epoll_ctl (link->engine->epoll_fd, EPOLL_CTL_DEL, link->socket, NULL);
  epoll_ctl (link->engine->epoll_fd, EPOLL_CTL_DEL, gt_family_fd (link->family), NULL);
}

/* --- writing --- */

static gboolean
send_now (GtLink *link, GBytes *bytes)
{
  gsize size;
  const char *start = g_bytes_get_data (bytes, &size);
  while (link->out_offset < size) {
    ssize_t sent = send (link->socket, start + link->out_offset, size - link->out_offset,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0)
      return FALSE; /* full: later. Broken: the end of the stream is to be read, and says so. */
    link->out_offset += (gsize) sent;
  }
  link->out_offset = 0;
  return TRUE;
}

static void
send_queued (GtLink *link)
{
  while (link->out.length > 0 && send_now (link, g_queue_peek_head (&link->out)))
    g_bytes_unref (g_queue_pop_head (&link->out));
}

void
gt_link_send (GtLink *link, GtWireType type, guint64 job, const char *head, GBytes *body)
{
  if (link->socket < 0)
    return;
  /* Small bodies go with their head in one piece, large ones are not copied. */
  gsize body_bytes = body != NULL ? g_bytes_get_size (body) : 0;
  GtFrame frame = { .type = type,
                    .job = job,
                    .head = head,
                    .head_bytes = head != NULL ? strlen (head) : 0,
                    .body = body_bytes > 0 ? g_bytes_get_data (body, NULL) : NULL,
                    .body_bytes = body_bytes,
                    .fd = -1 };
  guint8 header[GT_WIRE_HEADER_BYTES];
  /* Everything is of our own making, and jobs were measured when they were handed in. */
  if (!gt_wire_encode_header (&frame, header, NULL))
    g_assert_not_reached ();
  gboolean idle = link->out.length == 0;
  gsize inlined = body_bytes <= 4096 ? body_bytes : 0;
  gsize n = sizeof header + frame.head_bytes + inlined;
  guint8 *start = g_malloc (n);
  memcpy (start, header, sizeof header);
  if (frame.head_bytes > 0)
    memcpy (start + sizeof header, head, frame.head_bytes);
  if (inlined > 0)
    memcpy (start + sizeof header + frame.head_bytes, frame.body, inlined);
  g_queue_push_tail (&link->out, g_bytes_new_take (start, n));
  if (body_bytes > inlined)
    g_queue_push_tail (&link->out, g_bytes_ref (body));
  if (!idle)
    return;
  send_queued (link);
  if (link->out.length > 0 && !link->held)
    watch_socket (link, EPOLL_CTL_MOD);
}

/* --- reading --- */

static void
take_descriptors (GtLink *link, struct msghdr *message)
{
  for (struct cmsghdr *c = CMSG_FIRSTHDR (message); c != NULL; c = CMSG_NXTHDR (message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    gsize n = (c->cmsg_len - CMSG_LEN (0)) / sizeof (int);
    for (gsize i = 0; i < n; i++) {
      int fd;
      memcpy (&fd, CMSG_DATA (c) + i * sizeof fd, sizeof fd);
      gt_wire_decoder_push_fd (link->decoder, fd);
    }
  }
}

/* The frames that are whole. A frame may end the link's use of its socket. */
static void
take_frames (GtLink *link)
{
  while (link->socket >= 0 && !link->held) {
    GtFrame frame;
    g_autoptr (GError) error = NULL;
    switch (gt_wire_decoder_next (link->decoder, &frame, &error)) {
    case GT_WIRE_HAVE_FRAME:
      gt_link_on_frame (link, &frame);
      if (frame.fd >= 0)
        close (frame.fd);
      break;
    case GT_WIRE_BROKEN:
      gt_slot_garbage (link->slot, error->message);
      return;
    case GT_WIRE_NEED_MORE:
      return;
    }
  }
}

static void
on_end_of_stream (GtLink *link)
{
  g_autoptr (GError) error = NULL;
  /* Half a frame before its death says nothing that the death does not say. */
  (void) gt_wire_decoder_finish (link->decoder, &error);
  close_socket (link);
  gt_slot_closed (link->slot);
}

/* One recvmsg() and its frames. FALSE when there is no more for now. */
static gboolean
read_once (GtLink *link, gsize *total)
{
  gsize room;
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE (MAX_FDS * sizeof (int))];
  } control;
  struct iovec io;
  io.iov_base = gt_wire_decoder_space (link->decoder, &room);
  io.iov_len = room;
  struct msghdr message = {
    .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  ssize_t got = recvmsg (link->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && errno == EINTR)
    return TRUE;
  if (got < 0 && errno == EAGAIN)
    return FALSE;
  if (got <= 0) {
    on_end_of_stream (link);
    return FALSE;
  }
  take_descriptors (link, &message);
  gt_wire_decoder_filled (link->decoder, (gsize) got);
  *total += (gsize) got;
  take_frames (link);
  /* Less than there was room for: it is empty, or will be reported again. */
  return (gsize) got == room;
}

static void
read_up_to (GtLink *link, gsize most)
{
  for (gsize total = 0; link->socket >= 0 && !link->held && total < most;)
    if (!read_once (link, &total))
      return;
}

/* First the frames that were read already. */
void
gt_link_resume (GtLink *link)
{
  if (!link->held)
    return;
  link->held = FALSE;
  take_frames (link);
  if (link->held)
    return;
  if (link->socket >= 0)
    watch_socket (link, EPOLL_CTL_ADD);
  if (link->slot != NULL)
    watch_family (link);
}

void
gt_link_on_socket (GtLink *link, guint32 events)
{
  if (link->socket < 0 || link->slot == NULL || link->held)
    return;
  if ((events & EPOLLOUT) != 0) {
    send_queued (link);
    watch_socket (link, EPOLL_CTL_MOD);
  }
  if ((events & ~(guint32) EPOLLOUT) != 0)
    read_up_to (link, READ_ROUND);
}

/* The executor's word may be faster than its keeper's. Without the pid nobody could look at what a
 * job leaves behind. */
void
gt_link_try_warm (GtLink *link)
{
  if (!link->ready)
    return;
  if (gt_family_command_pid (link->family) == 0) {
    /* It will not be known later either: its handle did not come, or there is no /proc. */
    if (gt_family_state (link->family) == GT_FAMILY_RUNNING)
      gt_slot_garbage (link->slot,
                       "its process cannot be looked at: there are no descriptors left, "
                       "or /proc is not there");
    return;
  }
  link->ready = FALSE;
  gt_slot_warm (link->slot, link->threads, link->fds);
}

static void
on_start_failed (GtLink *link)
{
  g_autoptr (GError) error = NULL;
  gt_family_start_error (link->family, &error);
  GtSlot *slot = link->slot;
  slot->io = NULL;
  gt_link_part (link);
  gt_slot_start_failed (slot, error->message);
}

void
gt_link_on_family (GtLink *link)
{
  if (link->slot == NULL || link->with_helper || link->held)
    return;
  GtFamilyState state = gt_family_poll (link->family);
  if (state == GT_FAMILY_FAILED) {
    on_start_failed (link);
    return;
  }
  gt_link_try_warm (link);
  if (gt_family_ended (link->family, NULL) && !link->told_died) {
    link->told_died = TRUE;
    read_up_to (link, READ_LAST); /* what it said before it died counts */
    if (link->held) {
      link->told_died = FALSE; /* later */
      return;
    }
    if (link->slot != NULL)
      gt_slot_died (link->slot);
  }
  if (state == GT_FAMILY_GONE && !link->told_reaped && link->slot != NULL) {
    link->told_reaped = TRUE;
    if (!link->told_died)
      read_up_to (link, READ_LAST);
    gt_slot_reaped (link->slot);
  }
}
