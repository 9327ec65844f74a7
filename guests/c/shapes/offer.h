/* What is decided about an offer: functions without state, called by module.c. */

#ifndef OFFER_H
#define OFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The price of all pieces. */
double offer_total(double price, int32_t quantity);

/* Whether an offer is refused, for it has no price. */
bool offer_is_refused(double price);

/* The number that is written with digits alone. False if it is not. */
bool offer_whole(const char *text, size_t length, int32_t *number);

#endif
