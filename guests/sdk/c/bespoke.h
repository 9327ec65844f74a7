/* Helpers for modules in C: text that is not ended by a zero, numbers as text, and Avro's logical types, which arrive as
   numbers and bytes.

   Memory: what a function of the module gets is its own, to be freed with the generated NAME_list_..._free; what it gives
   is freed by the generated code once the host has read it, so it must come from malloc or be moved from what it got. An
   empty list has a pointer that is not from malloc: free lists with the generated functions only. */

#ifndef BESPOKE_H
#define BESPOKE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether a generated string is this text. */
#define BESPOKE_IS(string, text) bespoke_is((string).ptr, (string).len, (text))

static inline bool bespoke_is(const uint8_t *bytes, size_t length, const char *text) {
  /* What is empty may have no place at all, which memcmp does not take. */
  return length == strlen(text) && (length == 0 || memcmp(bytes, text, length) == 0);
}

/* Makes room for a list, zeroed, which for an option is none. Null if it is empty. Ends the call if there is no memory: the
   host then tries less. */
static inline void *bespoke_list(size_t count, size_t size) {
  void *list = count == 0 ? NULL : calloc(count, size);
  if (list == NULL && count != 0) abort();
  return list;
}

/* A day, such as 2024-02-29. */
typedef struct {
  int32_t year;
  int32_t month;
  int32_t day;
} bespoke_date_t;

/* The date so many days after 1970-01-01 (Avro's date), by the rules of the Gregorian calendar. Years begin in March here,
   so that the leap day is their last (after H. Hinnant, chrono-compatible low-level date algorithms). */
static inline bespoke_date_t bespoke_date(int32_t days) {
  int64_t shifted = (int64_t)days + 719468;
  int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
  int64_t day_of_era = shifted - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month = (5 * day_of_year + 2) / 153;
  bespoke_date_t date;
  date.day = (int32_t)(day_of_year - (153 * month + 2) / 5 + 1);
  date.month = (int32_t)(month < 10 ? month + 3 : month - 9);
  date.year = (int32_t)(year_of_era + era * 400 + (date.month <= 2));
  return date;
}

/* Days from 1970-01-01 to a date. */
static inline int32_t bespoke_days(bespoke_date_t date) {
  int64_t year = (int64_t)date.year - (date.month <= 2);
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  int64_t year_of_era = year - era * 400;
  int64_t day_of_year = (153 * (date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return (int32_t)(era * 146097 + day_of_era - 719468);
}

/* The whole number with these bytes: a decimal without its point. False if it has more than 64 bits. */
static inline bool bespoke_unscaled(const uint8_t *bytes, size_t length, int64_t *number) {
  uint64_t bits = length > 0 && bytes[0] & 0x80 ? UINT64_MAX : 0;
  uint8_t sign = (uint8_t)bits;
  for (size_t i = 0; i < length; i++) {
    if (length - i > 8) {
      if (bytes[i] != sign) return false;
      if (length - i == 9 && ((bytes[i + 1] ^ sign) & 0x80)) return false;
    }
    bits = bits << 8 | bytes[i];
  }
  memcpy(number, &bits, sizeof bits);
  return true;
}

/* The shortest bytes of a whole number, into room for eight. Returns how many. */
static inline size_t bespoke_decimal_bytes(int64_t number, uint8_t *bytes) {
  size_t length = 1;
  while (length < 8 && (number < -((int64_t)1 << (8 * length - 1)) || number >= (int64_t)1 << (8 * length - 1))) length++;
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)((uint64_t)number >> (8 * (length - 1 - i)));
  return length;
}

/* The same filled up to the size of a fixed. False if the number needs more. */
static inline bool bespoke_decimal_fixed(int64_t number, uint8_t *bytes, size_t size) {
  uint8_t shortest[8];
  size_t length = bespoke_decimal_bytes(number, shortest);
  if (length > size) return false;
  memset(bytes, number < 0 ? 0xff : 0, size - length);
  memcpy(bytes + size - length, shortest, length);
  return true;
}

/* Room for a whole number of 64 bits as text, with a sign, a point, and up to 18 digits after it. */
#define BESPOKE_DECIMAL 32

/* A decimal with so many digits after the point, up to 18, as people read it; ended by a zero. */
static inline const char *bespoke_decimal_text(int64_t number, int scale, char text[BESPOKE_DECIMAL]) {
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  char *at = text + BESPOKE_DECIMAL - 1;
  *at = 0;
  for (int digits = 0; rest > 0 || digits <= scale; digits++) {
    if (digits == scale && scale > 0) *--at = '.';
    *--at = (char)('0' + rest % 10);
    rest /= 10;
  }
  if (number < 0) *--at = '-';
  return at;
}

/* Three numbers, none of which can be told by another (Avro's duration). */
typedef struct {
  uint32_t months;
  uint32_t days;
  uint32_t millis;
} bespoke_duration_t;

/* Bytes of a duration: its numbers, the lowest byte of each first. */
#define BESPOKE_DURATION 12

static inline bespoke_duration_t bespoke_duration(const uint8_t bytes[BESPOKE_DURATION]) {
  uint32_t parts[3] = {0, 0, 0};
  for (int i = 0; i < BESPOKE_DURATION; i++) parts[i / 4] |= (uint32_t)bytes[i] << 8 * (i % 4);
  return (bespoke_duration_t){parts[0], parts[1], parts[2]};
}

static inline void bespoke_duration_bytes(bespoke_duration_t duration, uint8_t bytes[BESPOKE_DURATION]) {
  const uint32_t parts[3] = {duration.months, duration.days, duration.millis};
  for (int i = 0; i < BESPOKE_DURATION; i++) bytes[i] = (uint8_t)(parts[i / 4] >> 8 * (i % 4));
}

/* A moment or a time of day, cut into a day and what is left of it, also before 1970. `units` are those of a second: 1000 for
   what Avro calls millis. */
typedef struct {
  int32_t day;
  int32_t seconds;
  int32_t fraction;
} bespoke_moment_t;

static inline bespoke_moment_t bespoke_moment(int64_t number, int32_t units) {
  int32_t fraction = (int32_t)(number % units);
  int64_t seconds = number / units - (fraction < 0);
  int64_t day = seconds / 86400 - (seconds % 86400 < 0);
  return (bespoke_moment_t){(int32_t)day, (int32_t)(seconds - day * 86400), fraction < 0 ? fraction + units : fraction};
}

/* Room for any number as text. */
#define BESPOKE_NUMBER 352

/* A number with as many digits as tell it from all others, and no exponent; ended by a zero. */
static inline const char *bespoke_number(double value, char text[BESPOKE_NUMBER]) {
  if (value != value) return "NaN";
  if (value - value != 0) return value > 0 ? "inf" : "-inf";
  char shortest[32];
  for (int digits = 0; digits < 17; digits++) {
    snprintf(shortest, sizeof shortest, "%.*e", digits, value);
    if (strtod(shortest, NULL) == value) break;
  }
  /* Now it is "-d.ddde+xx": its digits, and how many of them stand before the point. */
  char *at = text;
  if (shortest[0] == '-') *at++ = '-';
  char digits[32];
  int count = 0;
  const char *read = shortest;
  for (; *read != 'e'; read++) {
    if (*read >= '0' && *read <= '9') digits[count++] = *read;
  }
  int before = atoi(read + 1) + 1;
  while (count > 1 && digits[count - 1] == '0') count--;
  if (before <= 0) {
    *at++ = '0';
    if (!(count == 1 && digits[0] == '0')) {
      *at++ = '.';
      for (int i = before; i < 0; i++) *at++ = '0';
    } else {
      count = 0;
    }
  }
  for (int i = 0; i < count || i < before; i++) {
    if (i == before && i > 0) *at++ = '.';
    *at++ = i < count ? digits[i] : '0';
  }
  *at = 0;
  return text;
}

#endif
