/* What the processor knows of products: functions without state, called by module.c. */

#ifndef PRODUCT_H
#define PRODUCT_H

#include "bespoke.h"
#include "processor.h"

#define MAX_REASON (BESPOKE_NUMBER + 64)

/* Whether no product can have this price; then the reason says why. */
bool refuse_price(double price, char reason[MAX_REASON]);

/* Trims, lower-cases, and turns each run of inner white space into one hyphen. Text that is so already, as nearly all is,
   stays where it is; other text is freed and replaced. */
void normalise(processor_string_t *category);

/* The share of the price that is taken off for this quantity. */
double discount(int32_t quantity);

/* Where a price stands among all. */
bespoke_processor_types_price_band_t price_band(double price);

#endif
