/* kombu's filesystem transport: one file a message, MONOTONIC-MS_UUID.QUEUE.msg, holding the JSON
 * envelope. Readers list the folder in the order of names and take what ends in .QUEUE.msg; writers
 * of kombu create the file under its final name and hold flock(LOCK_EX) while they write it. */
#include "broker/vtable.h"

#include "celery/envelope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/* 255 bytes of a file name less the time, the UUID and the rest. */
#define MAX_QUEUE_NAME 190

#define MESSAGES "messages"

/* Bigger files are no replies: left in place. */
#define MAX_FILE ((off_t) 128 * 1024 * 1024)

typedef struct {
  GtBroker base;
  char *dir;    /* DIR */
  char *folder; /* DIR/messages */
  int folder_fd;
  int inotify_fd;  /* -1 = no reply queue open */
  char *replies;   /* name of the reply queue, NULL = none */
  GQueue names;    /* file names to look at, owned */
  GHashTable *bad; /* names of malformed files that were told already */
  guint64 published;
} Spool;

static gboolean
io_error (GError **error, const char *doing, const char *path, int saved_errno)
{
  g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_IO, "cannot %s '%s': %s", doing, path,
               g_strerror (saved_errno));
  return FALSE;
}

/* The names that a kombu worker can consume: it makes file names of them in its control folder. */
static gboolean
check_name (const char *queue, GError **error)
{
  gsize len = strlen (queue);
  gsize good = strspn (queue, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-");
  if (len > 0 && len <= MAX_QUEUE_NAME && good == len && strspn (queue, ".") != len)
    return TRUE;
  g_autofree char *shown = g_strescape (queue, NULL);
  g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_NAME,
               "queue '%s': on a filesystem broker a name is 1 to %d of A-Z a-z 0-9 . _ - and not "
               "only dots",
               shown, MAX_QUEUE_NAME);
  return FALSE;
}

static gboolean
open_folders (Spool *s, const char *dir, GError **error)
{
  static const char *const parts[] = { MESSAGES, "processed", "control" };
  if (access (dir, F_OK) != 0)
    return io_error (error, "use the folder", dir, errno);
  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++) {
    g_autofree char *path = g_build_filename (dir, parts[i], NULL);
    if (mkdir (path, 0777) != 0 && errno != EEXIST)
      return io_error (error, "create the folder", path, errno);
  }
  s->dir = g_strdup (dir);
  s->folder = g_build_filename (dir, parts[0], NULL);
  s->folder_fd = open (s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (s->folder_fd < 0)
    return io_error (error, "read the folder", s->folder, errno);
  if (faccessat (s->folder_fd, ".", W_OK | X_OK, AT_EACCESS) != 0)
    return io_error (error, "write into the folder", s->folder, errno);
  return TRUE;
}

static void spool_close (GtBroker *broker);

static GtBroker *
spool_open (GUri *url, const GtBrokerOptions *options, GError **error)
{
  const char *host = g_uri_get_host (url);
  const char *path = g_uri_get_path (url);
  if ((host != NULL && host[0] != '\0') || path[0] != '/') {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "a filesystem broker is named by an absolute path: filesystem:///DIR");
    return NULL;
  }
  if (g_uri_get_query (url) != NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_URL,
                 "a filesystem broker has no options in its URL");
    return NULL;
  }
  Spool *s = g_new0 (Spool, 1);
  s->base.class = &gt_spool_class;
  s->base.options = *options;
  s->folder_fd = s->inotify_fd = -1;
  g_queue_init (&s->names);
  s->bad = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (!open_folders (s, path, error)) {
    spool_close (&s->base);
    return NULL;
  }
  return &s->base;
}

static gboolean
spool_declare (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  (void) broker;
  (void) until;
  /* The anonymous exchange needs no table; a worker writes its own into the control folder. */
  return check_name (queue, error);
}

/* MONOTONIC-MS_UUID.QUEUE.msg: the queue begins behind the first dot. */
static gboolean
spool_delete (GtBroker *broker, const char *queue, GtInstant until, GError **error)
{
  Spool *s = (Spool *) broker;
  (void) until;
  if (!check_name (queue, error))
    return FALSE;
  g_autofree char *ending = g_strconcat (queue, ".msg", NULL);
  g_autofree char *table = g_strconcat (s->dir, "/control/", queue, ".exchange", NULL);
  g_autoptr (GDir) folder = g_dir_open (s->folder, 0, error);
  if (folder == NULL)
    return FALSE;
  for (const char *name; (name = g_dir_read_name (folder)) != NULL;) {
    const char *dot = strchr (name, '.');
    if (dot != NULL && strcmp (dot + 1, ending) == 0)
      unlinkat (s->folder_fd, name, 0);
  }
  unlink (table);
  return TRUE;
}

static gboolean
write_all (int fd, const char *text, gsize len)
{
  while (len > 0) {
    ssize_t n = write (fd, text, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return FALSE;
    text += n;
    len -= (gsize) n;
  }
  return TRUE;
}

/* Under a name that no reader takes, then renamed: nobody sees half a message. */
static gboolean
write_file (Spool *s, const char *name, const char *text, GError **error)
{
  g_autofree char *temporary = g_strdup_printf (".%.*s.part", (int) strcspn (name, "."), name);
  int fd = openat (s->folder_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    return io_error (error, "create a message in", s->folder, errno);
  gboolean ok = write_all (fd, text, strlen (text));
  int problem = errno;
  if (close (fd) != 0 && ok) {
    ok = FALSE;
    problem = errno;
  }
  if (ok && renameat (s->folder_fd, temporary, s->folder_fd, name) != 0) {
    ok = FALSE;
    problem = errno;
  }
  if (ok)
    return TRUE;
  unlinkat (s->folder_fd, temporary, 0);
  return io_error (error, "write a message into", s->folder, problem);
}

static gboolean
spool_publish (GtBroker *broker, const char *queue, const GtMessage *message, GtInstant until,
               GError **error)
{
  (void) until;
  Spool *s = (Spool *) broker;
  /* There is nothing to wait for, but a long run is to be interruptible as anywhere. */
  g_autoptr (GError) cancelled = NULL;
  if (!gt_broker_wait (&broker->options, -1, 0, (GtInstant){ 0 }, &cancelled)
      && !g_error_matches (cancelled, GT_BROKER_ERROR, GT_BROKER_ERROR_TIMEOUT)) {
    g_propagate_error (error, g_steal_pointer (&cancelled));
    return FALSE;
  }
  if (!check_name (queue, error))
    return FALSE;
  g_autofree char *uuid = g_uuid_string_random ();
  g_autofree char *tag = g_uuid_string_random ();
  g_autofree char *name = g_strdup_printf (
      "%" G_GINT64_FORMAT "_%s.%s.msg",
      (gt_instant_now ().ns + GT_NSEC_PER_MSEC / 2) / GT_NSEC_PER_MSEC, uuid, queue);
  g_autofree char *text = gt_envelope_encode (message, queue, tag);
  if (!write_file (s, name, text, error))
    return FALSE;
  s->published++;
  gt_broker_confirm (broker, s->published, s->published);
  return TRUE;
}

static gboolean
spool_flush (GtBroker *broker, GtInstant until, GError **error)
{
  (void) broker;
  (void) until;
  (void) error;
  return TRUE;
}

static gboolean
is_reply (const Spool *s, const char *name)
{
  const char *dot = strchr (name, '.');
  gsize len = strlen (s->replies);
  return dot != NULL && strncmp (dot + 1, s->replies, len) == 0
         && strcmp (dot + 1 + len, ".msg") == 0;
}

static int
compare_names (gconstpointer a, gconstpointer b, gpointer data)
{
  (void) data;
  return strcmp (a, b);
}

/* All replies that are there, in kombu's order. */
static gboolean
list_folder (Spool *s, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (GDir) dir = g_dir_open (s->folder, 0, &problem);
  if (dir == NULL) {
    g_set_error (error, GT_BROKER_ERROR, GT_BROKER_ERROR_IO, "%s", problem->message);
    return FALSE;
  }
  g_queue_clear_full (&s->names, g_free);
  for (const char *name; (name = g_dir_read_name (dir)) != NULL;)
    if (is_reply (s, name))
      g_queue_push_tail (&s->names, g_strdup (name));
  g_queue_sort (&s->names, compare_names, NULL);
  return TRUE;
}

static const char *
spool_open_replies (GtBroker *broker, const char *name, GtInstant until, GError **error)
{
  (void) until;
  Spool *s = (Spool *) broker;
  if (!check_name (name, error))
    return NULL;
  s->inotify_fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  /* Not IN_CREATE: kombu's writer creates the file first and fills it later. The watch comes before
   * the first listing, so that nothing falls between the two. The end of the folder is seen from
   * its parent: its own watch is silent while we have it open. */
  if (s->inotify_fd < 0
      || inotify_add_watch (s->inotify_fd, s->folder, IN_CLOSE_WRITE | IN_MOVED_TO) < 0
      || inotify_add_watch (s->inotify_fd, s->dir, IN_DELETE | IN_MOVED_FROM | IN_MOVE_SELF) < 0) {
    io_error (error, "watch the folder", s->folder, errno);
    return NULL;
  }
  s->replies = g_strdup (name);
  return list_folder (s, error) ? s->replies : NULL;
}

/* Takes what inotify has to say into `names`. */
static gboolean
read_events (Spool *s, GError **error)
{
  _Alignas(struct inotify_event) char buffer[16384];
  ssize_t len;
  while ((len = read (s->inotify_fd, buffer, sizeof buffer)) > 0) {
    for (char *at = buffer; at < buffer + len;) {
      const struct inotify_event *event = (const struct inotify_event *) (gpointer) at;
      at += sizeof *event + event->len;
      gboolean moved = (event->mask & IN_MOVE_SELF) != 0;
      gboolean left = (event->mask & (IN_DELETE | IN_MOVED_FROM)) != 0 && event->len > 0
                      && strcmp (event->name, MESSAGES) == 0;
      if (moved || left)
        return io_error (error, "read the folder", s->folder, ENOENT);
      if ((event->mask & IN_Q_OVERFLOW) && !list_folder (s, error))
        return FALSE;
      if (event->len > 0 && is_reply (s, event->name))
        g_queue_push_tail (&s->names, g_strdup (event->name));
    }
  }
  if (len < 0 && errno != EAGAIN && errno != EINTR)
    return io_error (error, "watch the folder", s->folder, errno);
  return TRUE;
}

/* The whole file, or NULL: gone, or its writer is still at it, whose close will wake us. */
static char *
read_file (Spool *s, const char *name, gsize *len)
{
  int fd = openat (s->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return NULL;
  struct stat st;
  char *text = NULL;
  if (flock (fd, LOCK_SH | LOCK_NB) == 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode)
      && st.st_size > 0 && st.st_size <= MAX_FILE) {
    text = g_malloc ((gsize) st.st_size);
    *len = 0;
    for (ssize_t n; *len < (gsize) st.st_size; *len += (gsize) n)
      if ((n = read (fd, text + *len, (gsize) st.st_size - *len)) <= 0)
        break;
  }
  close (fd);
  return text;
}

/* One file: the delivery, or NULL when there is none in it. A malformed file stays where it is. */
static GtDelivery *
take_file (Spool *s, const char *name)
{
  gsize len = 0;
  g_autofree char *text = read_file (s, name, &len);
  if (text == NULL)
    return NULL;
  g_autoptr (GError) problem = NULL;
  g_autoptr (GtEnvelope) envelope = gt_envelope_decode (text, len, &problem);
  if (envelope == NULL) {
    if (g_hash_table_add (s->bad, g_strdup (name)))
      gt_broker_notice (&s->base.options, "left '%s/%s' in place: no message: %s", s->folder, name,
                        problem->message);
    return NULL;
  }
  if (unlinkat (s->folder_fd, name, 0) != 0)
    return NULL;
  GtDelivery *delivery = g_new0 (GtDelivery, 1);
  delivery->correlation_id = g_steal_pointer (&envelope->correlation_id);
  delivery->content_type = g_steal_pointer (&envelope->content_type);
  delivery->body = g_steal_pointer (&envelope->body);
  return delivery;
}

static GtDelivery *
spool_receive (GtBroker *broker, GtInstant until, GError **error)
{
  Spool *s = (Spool *) broker;
  g_return_val_if_fail (s->replies != NULL, NULL);
  for (;;) {
    g_autofree char *name = g_queue_pop_head (&s->names);
    if (name != NULL) {
      GtDelivery *delivery = take_file (s, name);
      if (delivery != NULL)
        return delivery;
      continue;
    }
    if (!gt_broker_wait (&broker->options, s->inotify_fd, POLLIN, until, error)
        || !read_events (s, error))
      return NULL;
  }
}

static int
spool_fd (const GtBroker *broker)
{
  return ((const Spool *) broker)->inotify_fd;
}

/* Late replies have no reader any more. */
static void
remove_leftovers (Spool *s)
{
  if (s->replies == NULL || !list_folder (s, NULL))
    return;
  for (GList *l = s->names.head; l != NULL; l = l->next)
    if (!g_hash_table_contains (s->bad, l->data))
      unlinkat (s->folder_fd, l->data, 0);
}

static void
spool_close (GtBroker *broker)
{
  Spool *s = (Spool *) broker;
  remove_leftovers (s);
  g_queue_clear_full (&s->names, g_free);
  g_hash_table_unref (s->bad);
  if (s->inotify_fd >= 0)
    close (s->inotify_fd);
  if (s->folder_fd >= 0)
    close (s->folder_fd);
  g_free (s->dir);
  g_free (s->folder);
  g_free (s->replies);
  g_free (s);
}

const GtBrokerClass gt_spool_class = {
  .open = spool_open,
  .close = spool_close,
  .declare = spool_declare,
  .delete = spool_delete,
  .publish = spool_publish,
  .flush = spool_flush,
  .open_replies = spool_open_replies,
  .receive = spool_receive,
  .fd = spool_fd,
};
