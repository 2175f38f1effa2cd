#include "broker/amqp_send.h"

/* Headers have arrays of plain values, and one table, `stamps`, that is always empty. */
static void
render_plain (const GtField *field, amqp_field_value_t *value)
{
  value->kind = (guint8) field->kind;
  switch (field->kind) {
  case GT_FIELD_BOOL:
    value->value.boolean = field->integer;
    break;
  case GT_FIELD_INT:
    value->value.i32 = field->integer;
    break;
  case GT_FIELD_DOUBLE:
    value->value.f64 = field->real;
    break;
  case GT_FIELD_TEXT:
    value->value.bytes = amqp_cstring_bytes (field->text);
    break;
  case GT_FIELD_TABLE:
    value->value.table = amqp_empty_table;
    break;
  case GT_FIELD_ARRAY:
    value->value.array = amqp_empty_array;
    break;
  case GT_FIELD_VOID:
  default:
    break;
  }
}

/* `items` holds the values of the array that the field may be. */
static void
render_field (const GtField *field, amqp_field_value_t *value, amqp_field_value_t *items)
{
  render_plain (field, value);
  if (field->kind != GT_FIELD_ARRAY)
    return;
  value->value.array = (amqp_array_t){ (int) field->n_items, items };
  for (guint i = 0; i < field->n_items; i++)
    render_plain (&field->items[i], &items[i]);
}

int
gt_amqp_send (amqp_connection_state_t conn, amqp_channel_t channel, const char *queue,
              const GtMessage *message)
{
  amqp_table_entry_t entries[GT_N_HEADERS];
  amqp_field_value_t items[G_N_ELEMENTS (message->timelimit)];
  for (guint i = 0; i < GT_N_HEADERS; i++) {
    entries[i].key = amqp_cstring_bytes (message->headers[i].name);
    render_field (&message->headers[i], &entries[i].value, items);
  }
  amqp_basic_properties_t p = {
    ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG
              | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
              | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_PRIORITY_FLAG,
    .content_type = amqp_cstring_bytes (GT_CONTENT_TYPE),
    .content_encoding = amqp_cstring_bytes (GT_CONTENT_ENCODING),
    .headers = { GT_N_HEADERS, entries },
    .delivery_mode = GT_DELIVERY_MODE,
    .priority = message->priority,
    .correlation_id = amqp_cstring_bytes (message->id),
  };
  if (message->reply_to != NULL) {
    p._flags |= AMQP_BASIC_REPLY_TO_FLAG;
    p.reply_to = amqp_cstring_bytes (message->reply_to);
  }
  if (message->expiration != NULL) {
    p._flags |= AMQP_BASIC_EXPIRATION_FLAG;
    p.expiration = amqp_cstring_bytes (message->expiration);
  }
  amqp_bytes_t body = amqp_cstring_bytes (message->body);
  return amqp_basic_publish (conn, channel, amqp_empty_bytes, amqp_cstring_bytes (queue), TRUE,
                             FALSE, &p, body);
}
