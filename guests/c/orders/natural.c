#include "natural.h"

#include "bespoke.h"
#include "text.h"

/* How many words there are. */
#define WORDS 10
/* Bytes of a decimal of 64 bits. */
#define MAX_BYTES 8

bool natural_doubled(const orders_list_u8_t *unscaled, size_t size, orders_list_u8_t *twice) {
  int64_t number;
  if (!bespoke_unscaled(unscaled->ptr, unscaled->len, &number)) return false;
  if (number > INT64_MAX / 2 || number < INT64_MIN / 2) return false;
  twice->ptr = bespoke_list(size > MAX_BYTES ? size : MAX_BYTES, 1);
  twice->len = size > 0 ? size : bespoke_decimal_bytes(number * 2, twice->ptr);
  return size == 0 || bespoke_decimal_fixed(number * 2, twice->ptr, size);
}

static void add_date(orders_string_t *word, int32_t day) {
  bespoke_date_t date = bespoke_date(day);
  text_add(word, "%04d-%02d-%02d", date.year, date.month, date.day);
}

/* A time of day in so many digits of a second. */
static void add_time(orders_string_t *word, bespoke_moment_t moment, int digits) {
  int32_t seconds = moment.seconds;
  text_add(word, "%02d:%02d:%02d.%0*d", seconds / 3600, seconds / 60 % 60, seconds % 60, digits, moment.fraction);
}

static void add_moment(orders_string_t *word, bespoke_moment_t moment, int digits, const char *zone) {
  add_date(word, moment.day);
  text_add(word, "T");
  add_time(word, moment, digits);
  text_add(word, "%s", zone);
}

static void add_decimal(orders_string_t *word, const orders_list_u8_t *unscaled, int scale) {
  char text[BESPOKE_DECIMAL];
  int64_t number = 0;
  bespoke_unscaled(unscaled->ptr, unscaled->len, &number);
  text_add(word, "%s", bespoke_decimal_text(number, scale, text));
}

void natural_words(const orders_order_t *order, int64_t exact, orders_list_string_t *words) {
  bespoke_duration_t span = bespoke_duration(order->span.ptr);
  orders_string_t *word = bespoke_list(WORDS, sizeof *word);
  words->ptr = word;
  words->len = WORDS;
  add_date(word++, order->day);
  add_time(word++, bespoke_moment(order->opens, 1000), 3);
  add_time(word++, bespoke_moment(order->closes, 1000000), 6);
  add_moment(word++, bespoke_moment(order->created, 1000), 3, "Z");
  add_moment(word++, bespoke_moment(order->changed, 1000000), 6, "Z");
  add_moment(word++, bespoke_moment(order->local, 1000), 3, "");
  add_moment(word++, bespoke_moment(exact, 1000000000), 9, "Z");
  add_decimal(word++, &order->amount, AMOUNT_SCALE);
  add_decimal(word++, &order->fee, FEE_SCALE);
  text_add(word, "%u months %u days %u ms", span.months, span.days, span.millis);
}
