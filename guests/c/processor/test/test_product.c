/* Letters beyond ASCII are left to the conformance suite: the C library of this machine knows them in some locales only. */

#undef NDEBUG
#include "../product.h"

#include <assert.h>
#include <math.h>

/* Of the generated code, which is made for WebAssembly, the two functions that are needed. */
void processor_string_dup_n(processor_string_t *to, const char *from, size_t length) {
  to->len = length;
  to->ptr = bespoke_list(length, 1);
  if (length > 0) memcpy(to->ptr, from, length);
}

void processor_string_free(processor_string_t *text) {
  if (text->len > 0) free(text->ptr);
  *text = (processor_string_t){0};
}

static void becomes(const char *given, const char *normal) {
  processor_string_t text;
  processor_string_dup_n(&text, given, strlen(given));
  normalise(&text);
  assert(BESPOKE_IS(text, normal));
  processor_string_free(&text);
}

static void categories_become_lower_case_words_with_hyphens(void) {
  becomes("books", "books");
  becomes("  Home &  Garden\t", "home-&-garden");
  becomes("pet-food", "pet-food");
  becomes("toys\u00a0\u2003games", "toys-games");
  becomes("a\x1c" "B", "a\x1c" "b");
  becomes(" \n ", "");
  becomes("", "");
}

static void impossible_prices_are_refused_with_the_reason(void) {
  char reason[MAX_REASON];
  const struct {
    double price;
    const char *text;
  } cases[] = {{NAN, " NaN "}, {-INFINITY, " -inf "}, {-0.0, " -0 "}, {-1.5, " -1.5 "}, {1e7 + 1, " 10000001 "}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert(refuse_price(cases[i].price, reason) && strstr(reason, cases[i].text) != NULL);
  }
  assert(!refuse_price(1e7, reason) && !refuse_price(5e-324, reason));
}

static void a_larger_quantity_never_gets_a_smaller_discount(void) {
  const int32_t quantities[] = {-5, 9, 10, 49, 50, 99, 100, INT32_MAX};
  const double shares[] = {0, 0, 0.02, 0.02, 0.05, 0.05, 0.1, 0.1};
  for (int i = 0; i < 8; i++) assert(discount(quantities[i]) == shares[i]);
}

static void bands_begin_at_their_limits(void) {
  assert(price_band(19.99) == BESPOKE_PROCESSOR_TYPES_PRICE_BAND_BUDGET);
  assert(price_band(20) == BESPOKE_PROCESSOR_TYPES_PRICE_BAND_STANDARD);
  assert(price_band(100) == BESPOKE_PROCESSOR_TYPES_PRICE_BAND_PREMIUM);
}

int main(void) {
  categories_become_lower_case_words_with_hyphens();
  impossible_prices_are_refused_with_the_reason();
  a_larger_quantity_never_gets_a_smaller_discount();
  bands_begin_at_their_limits();
  return 0;
}
