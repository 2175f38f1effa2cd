/* What an AMQP 0-9-1 server says of itself before anybody logs in: the Connection.Start frame that
 * answers the protocol header. Pure; the bytes may be anything. */
#pragma once

#include <glib.h>

/* What a client sends first. */
#define GT_AMQP_HEADER        "AMQP\x00\x00\x09\x01"
#define GT_AMQP_HEADER_LENGTH 8

typedef struct {
  char *product; /* valid UTF-8; NULL = not said */
  char *version;
} GtBanner;

/* 1: read; 0: more bytes are needed; -1: this is no AMQP 0-9-1 server. */
int gt_banner_parse (const guint8 *bytes, gsize length, GtBanner *banner);
void gt_banner_clear (GtBanner *banner);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GtBanner, gt_banner_clear)
