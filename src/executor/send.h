/* Writing frames to a socket. */
#pragma once

#include <glib.h>
#include <sys/uio.h>

/* All of the parts, whatever it takes; `fd` (-1: none) goes with the first byte. Changes the parts.
 * Blocks while the other side does not read. */
gboolean gt_send_all (int socket, struct iovec *parts, gsize n_parts, int fd, GError **error);
