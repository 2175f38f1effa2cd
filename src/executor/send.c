#include "executor/send.h"

#include "os/error.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* One sendmsg; the descriptor goes with its first byte only. */
static gssize
send_part (int socket, const struct iovec *parts, gsize n_parts, int fd)
{
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { 0 };
  struct msghdr message = { .msg_iov = (struct iovec *) parts, .msg_iovlen = n_parts };
  if (fd >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN (sizeof fd);
    memcpy (CMSG_DATA (header), &fd, sizeof fd);
  }
  return sendmsg (socket, &message, MSG_NOSIGNAL);
}

gboolean
gt_send_all (int socket, struct iovec *parts, gsize n_parts, int fd, GError **error)
{
  while (n_parts > 0) {
    if (parts->iov_len == 0) {
      parts++;
      n_parts--;
      continue;
    }
    gssize sent = send_part (socket, parts, n_parts, fd);
    if (sent < 0 && errno == EAGAIN) {
      struct pollfd room = { .fd = socket, .events = POLLOUT };
      (void) poll (&room, 1, -1);
      continue;
    }
    if (sent < 0 && errno != EINTR)
      return gt_os_fail (error, errno, "writing to the engine");
    if (sent > 0)
      fd = -1;
    for (gsize left = sent > 0 ? (gsize) sent : 0; left > 0;) {
      gsize step = MIN (left, parts->iov_len);
      parts->iov_base = (char *) parts->iov_base + step;
      parts->iov_len -= step;
      left -= step;
      if (parts->iov_len == 0) {
        parts++;
        n_parts--;
      }
    }
  }
  return TRUE;
}
