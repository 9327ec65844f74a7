/* Avro's logical types, which arrive as numbers and bytes, as people read them. */

#ifndef NATURAL_H
#define NATURAL_H

#include <stdbool.h>

#include "orders.h"

/* Digits after the point. */
#define AMOUNT_SCALE 2
#define FEE_SCALE 4

/* Twice a decimal, in as few bytes as it needs, or in the size of a fixed if that is not 0. False if it has more than 64 bits. */
bool natural_doubled(const orders_list_u8_t *unscaled, size_t size, orders_list_u8_t *twice);

/* Dates, times, decimals and the span of an order; decimals have 64 bits. `exact` is that of the order. */
void natural_words(const orders_order_t *order, int64_t exact, orders_list_string_t *words);

#endif
