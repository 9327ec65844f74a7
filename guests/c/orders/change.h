/* Of each field another value of its type. */

#ifndef CHANGE_H
#define CHANGE_H

#include <stdbool.h>

#include "orders.h"

/* The answer to an order. What can be moved is moved from the order, which stays whole. False if a number is too large for C;
   then there is nothing to free but the order, and the reason says so. */
bool change_of(orders_order_t *order, const orders_about_t *about, int32_t step, orders_change_t *change,
               orders_string_t *reason);

#endif
