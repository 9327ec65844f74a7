#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits and the sign of a number of 64 bits. */
#define MAX_NUMBER 20

/* Makes room at the end, and one byte more. */
static char *room(orders_string_t *text, size_t length) {
  /* What is empty is not from malloc. */
  text->ptr = realloc(text->len > 0 ? text->ptr : NULL, text->len + length + 1);
  if (text->ptr == NULL) abort();
  return (char *)text->ptr + text->len;
}

void text_add(orders_string_t *text, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (length < 0) abort();
  /* Room without anything in it would never be freed. */
  if (length > 0) vsnprintf(room(text, (size_t)length), (size_t)length + 1, format, again);
  va_end(again);
  text->len += (size_t)length;
}

void text_add_hex(orders_string_t *text, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) text_add(text, "%02x", bytes[i]);
}

bool text_number(orders_string_t text, int64_t *number) {
  char digits[MAX_NUMBER + 1], *end;
  if (text.len == 0 || text.len > MAX_NUMBER) return false;
  memcpy(digits, text.ptr, text.len);
  digits[text.len] = 0;
  *number = strtoll(digits, &end, 10);
  return end == digits + text.len;
}
