#include "offer.h"

/* Digits of the largest number that settings and states have. */
#define MAX_DIGITS 9

double offer_total(double price, int32_t quantity) { return price * quantity; }

bool offer_is_refused(double price) { return !(price > 0); }

bool offer_whole(const char *text, size_t length, int32_t *number) {
  int32_t read = 0;
  for (size_t i = 0; i < length; i++) {
    if (length > MAX_DIGITS || text[i] < '0' || text[i] > '9') return false;
    read = read * 10 + (text[i] - '0');
  }
  *number = read;
  return length > 0;
}
