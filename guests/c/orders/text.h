/* Texts that are put together: room that grows, filled by printf. */

#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "orders.h"

/* Adds to a text what printf makes of the rest. */
__attribute__((format(printf, 2, 3))) void text_add(orders_string_t *text, const char *format, ...);

/* Adds bytes as hexadecimal digits. */
void text_add_hex(orders_string_t *text, const uint8_t *bytes, size_t length);

/* How printf takes a text that is not ended by a zero: "%.*s". */
#define TEXT(text) (int)(text).len, (const char *)(text).ptr

/* The number that a text is. False if it is none of 64 bits. */
bool text_number(orders_string_t text, int64_t *number);

#endif
