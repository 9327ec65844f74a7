#include "product.h"

#include <math.h>
#include <wctype.h>

/* A price above this is a mistake of the shop, in euro. */
#define MAX_PRICE 1e7
/* Prices below this are in the band budget, in euro. */
#define STANDARD_FROM 20.0
/* Prices from this on are in the band premium, in euro. */
#define PREMIUM_FROM 100.0

/* A code point has at most four bytes in UTF-8; one letter becomes two, of two bytes each. */
#define MAX_BYTES_PER_BYTE 2

/* The smallest quantity of each discount, the largest first, and the share of the price that it takes off. */
static const struct {
  int32_t least;
  double share;
} DISCOUNTS[] = {{100, 0.10}, {50, 0.05}, {10, 0.02}};

bool refuse_price(double price, char reason[MAX_REASON]) {
  char number[BESPOKE_NUMBER], limit[BESPOKE_NUMBER];
  if (!isfinite(price)) {
    snprintf(reason, MAX_REASON, "the price %s is not a finite number", bespoke_number(price, number));
  } else if (price <= 0) {
    snprintf(reason, MAX_REASON, "the price %s is not above zero", bespoke_number(price, number));
  } else if (price > MAX_PRICE) {
    snprintf(reason, MAX_REASON, "the price %s is above the limit of %s", bespoke_number(price, number),
             bespoke_number(MAX_PRICE, limit));
  } else {
    return false;
  }
  return true;
}

double discount(int32_t quantity) {
  for (size_t i = 0; i < sizeof DISCOUNTS / sizeof *DISCOUNTS; i++) {
    if (quantity >= DISCOUNTS[i].least) return DISCOUNTS[i].share;
  }
  return 0;
}

bespoke_processor_types_price_band_t price_band(double price) {
  if (price < STANDARD_FROM) return BESPOKE_PROCESSOR_TYPES_PRICE_BAND_BUDGET;
  if (price < PREMIUM_FROM) return BESPOKE_PROCESSOR_TYPES_PRICE_BAND_STANDARD;
  return BESPOKE_PROCESSOR_TYPES_PRICE_BAND_PREMIUM;
}

/* The code point that begins here, and how many bytes it has. The host has checked that the text is UTF-8. */
static uint32_t decode(const uint8_t *at, size_t *length) {
  if (at[0] < 0x80) return *length = 1, at[0];
  if (at[0] < 0xe0) return *length = 2, (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
  if (at[0] < 0xf0) return *length = 3, (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
  return *length = 4, (at[0] & 0x07u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu);
}

static uint8_t *encode(uint32_t code, uint8_t *at) {
  if (code < 0x80) {
    *at++ = (uint8_t)code;
  } else if (code < 0x800) {
    *at++ = (uint8_t)(0xc0 | code >> 6);
    *at++ = (uint8_t)(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *at++ = (uint8_t)(0xe0 | code >> 12);
    *at++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    *at++ = (uint8_t)(0x80 | (code & 0x3f));
  } else {
    *at++ = (uint8_t)(0xf0 | code >> 18);
    *at++ = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    *at++ = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    *at++ = (uint8_t)(0x80 | (code & 0x3f));
  }
  return at;
}

/* What Unicode calls white space; iswspace is not quite the same. */
static bool is_space(uint32_t code) {
  return (code >= '\t' && code <= '\r') || code == ' ' || code == 0x85 || code == 0xa0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
         code == 0x3000;
}

/* Whether a letter has cases. */
static bool is_cased(uint32_t code) {
  wint_t letter = (wint_t)code;
  return towlower(letter) != letter || towupper(letter) != letter;
}

/* Marks that a word goes on after: apostrophes, points in it, accents that combine. */
static bool is_passed_over(uint32_t code) {
  return code == '\'' || code == '.' || code == ':' || code == '^' || code == '`' || code == 0xa8 || code == 0xad ||
         code == 0xaf || code == 0xb4 || code == 0xb7 || code == 0xb8 || (code >= 0x2b0 && code <= 0x36f) ||
         code == 0x2018 || code == 0x2019 || code == 0x2024 || code == 0x2027 || (code >= 0x200b && code <= 0x200f);
}

/* Whether a sigma that stands here ends a word (Unicode, SpecialCasing.txt). */
static bool ends_word(processor_string_t text, size_t begin, size_t end) {
  bool is_after_letter = false;
  size_t length;
  for (size_t at = 0; at < begin; at += length) {
    uint32_t code = decode(text.ptr + at, &length);
    if (!is_passed_over(code)) is_after_letter = is_cased(code);
  }
  if (!is_after_letter) return false;
  for (size_t at = end; at < text.len; at += length) {
    uint32_t code = decode(text.ptr + at, &length);
    if (!is_passed_over(code)) return !is_cased(code);
  }
  return true;
}

/* Writes a letter in lower case. */
static uint8_t *lower(processor_string_t text, size_t begin, size_t end, uint32_t code, uint8_t *out) {
  if (code == 0x130) return encode(0x307, encode('i', out));
  if (code == 0x3a3) return encode(ends_word(text, begin, end) ? 0x3c2 : 0x3c3, out);
  return encode((uint32_t)towlower((wint_t)code), out);
}

void normalise(processor_string_t *category) {
  bool is_normal = true;
  for (size_t i = 0; i < category->len && is_normal; i++) {
    uint8_t byte = category->ptr[i];
    is_normal = byte > ' ' && byte <= '~' && !(byte >= 'A' && byte <= 'Z');
  }
  if (is_normal) return;
  uint8_t *normal = bespoke_list(category->len * MAX_BYTES_PER_BYTE, 1);
  uint8_t *out = normal;
  bool is_after_space = false;
  size_t length;
  for (size_t at = 0; at < category->len; at += length) {
    uint32_t code = decode(category->ptr + at, &length);
    if (is_space(code)) {
      is_after_space = true;
      continue;
    }
    if (is_after_space && out != normal) *out++ = '-';
    is_after_space = false;
    out = lower(*category, at, at + length, code, out);
  }
  processor_string_free(category);
  category->ptr = normal;
  category->len = (size_t)(out - normal);
  if (category->len == 0) free(normal);
}
