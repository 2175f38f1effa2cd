/* A library's parser would not do: it refuses what it cannot hold (numbers beyond 64 bits, NUL in a
 * key, deep nesting), and JSON columns would change their type with the data. */
#include "cli/query_json.h"

#include <string.h>

typedef struct {
  const char *at, *end;
  GString *open; /* brackets, outermost first */
} Reader;

/* 0 at the end: no NUL is JSON. */
static char
peek (const Reader *self)
{
  return self->at < self->end ? *self->at : '\0';
}

static gboolean
take (Reader *self, char wanted)
{
  if (peek (self) != wanted || self->at == self->end)
    return FALSE;
  self->at++;
  return TRUE;
}

static void
skip_space (Reader *self)
{
  while (peek (self) == ' ' || peek (self) == '\t' || peek (self) == '\n' || peek (self) == '\r')
    self->at++;
}

static gboolean
read_digits (Reader *self)
{
  const char *start = self->at;
  while (g_ascii_isdigit (peek (self)))
    self->at++;
  return self->at > start;
}

static gboolean
read_number (Reader *self)
{
  (void) take (self, '-');
  if (!take (self, '0') && !read_digits (self))
    return FALSE;
  if (take (self, '.') && !read_digits (self))
    return FALSE;
  if (!take (self, 'e') && !take (self, 'E'))
    return TRUE;
  (void) (take (self, '+') || take (self, '-'));
  return read_digits (self);
}

static gboolean
read_escape (Reader *self)
{
  char letter = peek (self);
  if (letter == '\0' || strchr ("\"\\/bfnrtu", letter) == NULL)
    return FALSE;
  self->at++;
  for (int i = 0; letter == 'u' && i < 4; i++, self->at++)
    if (!g_ascii_isxdigit (peek (self)))
      return FALSE;
  return TRUE;
}

static gboolean
read_string (Reader *self)
{
  if (!take (self, '"'))
    return FALSE;
  while (!take (self, '"')) {
    if ((guchar) peek (self) < 0x20) /* the end, too */
      return FALSE;
    if (take (self, '\\')) {
      if (!read_escape (self))
        return FALSE;
    } else {
      self->at++;
    }
  }
  return TRUE;
}

static gboolean
read_scalar (Reader *self)
{
  static const char *const words[] = { "true", "false", "null" };
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++) {
    gsize length = strlen (words[i]);
    if ((gsize) (self->end - self->at) >= length && memcmp (self->at, words[i], length) == 0) {
      self->at += length;
      return TRUE;
    }
  }
  return peek (self) == '"' ? read_string (self) : read_number (self);
}

static char
innermost (const Reader *self)
{
  return self->open->len > 0 ? self->open->str[self->open->len - 1] : '\0';
}

/* A member's name with its colon, where a value is a member. */
static gboolean
read_key (Reader *self)
{
  if (innermost (self) != '{')
    return TRUE;
  skip_space (self);
  if (!read_string (self))
    return FALSE;
  skip_space (self);
  return take (self, ':');
}

static gboolean
close_bracket (Reader *self)
{
  if (self->open->len == 0 || !take (self, innermost (self) == '{' ? '}' : ']'))
    return FALSE;
  g_string_truncate (self->open, self->open->len - 1);
  return TRUE;
}

/* To where the next value begins, with its name. FALSE: there is none, or not as it should be. */
static gboolean
next_value (Reader *self)
{
  do
    skip_space (self);
  while (close_bracket (self));
  return self->open->len > 0 && take (self, ',') && read_key (self);
}

/* A value that has values in it is open then. */
static gboolean
read_value (Reader *self, gboolean *opened)
{
  skip_space (self);
  char bracket = peek (self);
  *opened = FALSE;
  if (bracket != '[' && bracket != '{')
    return read_scalar (self);
  self->at++;
  g_string_append_c (self->open, bracket);
  skip_space (self);
  if (close_bracket (self))
    return TRUE;
  *opened = TRUE;
  return read_key (self);
}

gboolean
gt_query_is_json (const char *text, gsize bytes)
{
  g_autoptr (GString) open = g_string_new (NULL);
  Reader self = { text, text + bytes, open };
  gboolean opened = FALSE;
  do
    if (!read_value (&self, &opened))
      return FALSE;
  while (opened || next_value (&self));
  return self.at == self.end && open->len == 0;
}
