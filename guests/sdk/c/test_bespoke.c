/* Run with: cc -Wall -Wextra -o test_bespoke test_bespoke.c && ./test_bespoke */

#undef NDEBUG
#include "bespoke.h"

#include <assert.h>
#include <float.h>
#include <math.h>

static void dates_go_both_ways(void) {
  const bespoke_date_t dates[] = {{1970, 1, 1}, {1969, 12, 31}, {2024, 2, 29}, {2000, 3, 1}, {1600, 2, 29}, {-1, 1, 1}};
  const int32_t days[] = {0, -1, 19782, 11017, -135081, -719893};
  for (int i = 0; i < 6; i++) {
    assert(bespoke_days(dates[i]) == days[i]);
    bespoke_date_t date = bespoke_date(days[i]);
    assert(date.year == dates[i].year && date.month == dates[i].month && date.day == dates[i].day);
  }
  for (int32_t day = -800000; day < 800000; day++) assert(bespoke_days(bespoke_date(day)) == day);
}

static void decimals_are_those_of_the_specification(void) {
  const int64_t numbers[] = {0, 1234, -1234, 127, 128, -128, -129, INT64_MAX, INT64_MIN};
  const size_t lengths[] = {1, 2, 2, 1, 2, 1, 2, 8, 8};
  for (int i = 0; i < 9; i++) {
    uint8_t bytes[8];
    int64_t again = 7;
    assert(bespoke_decimal_bytes(numbers[i], bytes) == lengths[i]);
    assert(bespoke_unscaled(bytes, lengths[i], &again) && again == numbers[i]);
  }
  const uint8_t minus_one[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  int64_t number;
  assert(bespoke_unscaled(minus_one, 10, &number) && number == -1);
  const uint8_t large[] = {0, 0x80, 0, 0, 0, 0, 0, 0, 0};
  assert(!bespoke_unscaled(large, 9, &number));
}

static void a_fixed_is_filled_up(void) {
  uint8_t bytes[3];
  assert(bespoke_decimal_fixed(-1, bytes, 3) && memcmp(bytes, "\xff\xff\xff", 3) == 0);
  assert(bespoke_decimal_fixed(32768, bytes, 3) && memcmp(bytes, "\0\x80\0", 3) == 0);
  assert(!bespoke_decimal_fixed(32768, bytes, 2));
}

static void decimals_have_their_point(void) {
  const struct {
    int64_t number;
    int scale;
    const char *text;
  } cases[] = {{0, 2, "0.00"}, {-5, 2, "-0.05"}, {12345, 4, "1.2345"}, {-120, 0, "-120"}, {0, 0, "0"},
               {INT64_MIN, 18, "-9.223372036854775808"}, {INT64_MAX, 1, "922337203685477580.7"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[BESPOKE_DECIMAL];
    assert(strcmp(bespoke_decimal_text(cases[i].number, cases[i].scale, text), cases[i].text) == 0);
  }
}

static void durations_go_both_ways(void) {
  const uint8_t bytes[BESPOKE_DURATION] = {1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0, 0xff};
  bespoke_duration_t duration = bespoke_duration(bytes);
  assert(duration.months == 1 && duration.days == 2 && duration.millis == 0xff000103);
  uint8_t again[BESPOKE_DURATION];
  bespoke_duration_bytes(duration, again);
  assert(memcmp(bytes, again, sizeof bytes) == 0);
}

static void moments_are_cut_also_before_the_epoch(void) {
  const struct {
    int64_t number;
    int32_t units, day, seconds, fraction;
  } cases[] = {{0, 1000, 0, 0, 0}, {-1, 1000, -1, 86399, 999}, {86400000, 1000, 1, 0, 0}, {-86400000000, 1000000, -1, 0, 0},
               {INT64_MIN, 1000000000, -106752, 763, 145224192}, {INT64_MAX, 1000000000, 106751, 85636, 854775807}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bespoke_moment_t moment = bespoke_moment(cases[i].number, cases[i].units);
    assert(moment.day == cases[i].day && moment.seconds == cases[i].seconds && moment.fraction == cases[i].fraction);
  }
}

static void numbers_have_no_exponent(void) {
  const struct {
    double value;
    const char *text;
  } cases[] = {{0, "0"}, {-0.0, "-0"}, {0.1, "0.1"}, {1e7, "10000000"}, {123.456, "123.456"}, {-2.5e-7, "-0.00000025"},
               {1e23, "100000000000000000000000"}, {10000001, "10000001"}, {NAN, "NaN"}, {-INFINITY, "-inf"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[BESPOKE_NUMBER];
    assert(strcmp(bespoke_number(cases[i].value, text), cases[i].text) == 0);
  }
  char text[BESPOKE_NUMBER];
  assert(strlen(bespoke_number(-DBL_TRUE_MIN, text)) == 327 && strtod(text, NULL) == -DBL_TRUE_MIN);
  assert(strlen(bespoke_number(-DBL_MAX, text)) == 310);
}

int main(void) {
  dates_go_both_ways();
  decimals_are_those_of_the_specification();
  a_fixed_is_filled_up();
  decimals_have_their_point();
  durations_go_both_ways();
  moments_are_cut_also_before_the_epoch();
  numbers_have_no_exponent();
  assert(BESPOKE_IS(((struct { const uint8_t *ptr; size_t len; }){(const uint8_t *)"abc", 3}), "abc"));
  puts("ok");
  return 0;
}
