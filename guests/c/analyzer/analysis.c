/* Mean and deviation follow Welford, who adds one sample at a time without the loss of digits that the sum of squares has
   (Technometrics 4(3), 1962). A price is judged by those before it, so that an outlier cannot hide itself. */

#include "analysis.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The state as bytes, the same in every language, so that a module takes over from one in another: this word, whose last
   letter is the version, then categories and products, each after its length in bytes (u32, little-endian). */
static const char MAGIC[4] = {'a', 'n', 'a', '1'};

#define LENGTH sizeof(uint32_t)

/* The prices of a category: their count, their mean, and the sum of squared deviations from it. */
typedef struct {
  double count, mean, squares;
} prices_t;

/* Whether text is a decimal number, or infinite. strtod also takes spaces, hexadecimal numbers and more. */
static bool is_number(const char *text) {
  if (*text == '+' || *text == '-') text++;
  if (isalpha((unsigned char)*text)) {
    char lower[9] = {0};
    for (int i = 0; i < 8 && text[i] != 0; i++) lower[i] = (char)tolower((unsigned char)text[i]);
    return strlen(text) <= 8 && (strcmp(lower, "inf") == 0 || strcmp(lower, "infinity") == 0);
  }
  size_t whole = strspn(text, "0123456789"), part = 0;
  text += whole;
  if (*text == '.') text += 1 + (part = strspn(text + 1, "0123456789"));
  if (whole + part == 0) return false;
  if (*text == 'e' || *text == 'E') {
    text++;
    if (*text == '+' || *text == '-') text++;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0) return false;
    text += digits;
  }
  return *text == 0;
}

/* Text with its end, to be freed; as printf takes it. */
static char *ended(const char *text, size_t length) {
  char *copy = malloc(length + 1);
  if (copy == NULL) abort();
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

static char *reason(const char *format, const char *what) {
  size_t size = strlen(format) + strlen(what) + 1;
  char *text = malloc(size);
  if (text == NULL) abort();
  snprintf(text, size, format, what);
  return text;
}

/* Reads one setting, both of whose texts have their ends. */
static char *read_setting(settings_t *settings, const char *name, const char *value) {
  if (strcmp(name, "threshold") == 0) {
    double number = is_number(value) ? strtod(value, NULL) : 0;
    if (!(number > 0)) return reason("`threshold` must be a number above 0, not `%s`", value);
    settings->threshold = number;
  } else if (strcmp(name, "min_samples") == 0) {
    const char *digits = *value == '+' ? value + 1 : value;
    bool is_whole = *digits != 0 && digits[strspn(digits, "0123456789")] == 0;
    errno = 0;
    unsigned long long number = is_whole ? strtoull(digits, NULL, 10) : 0;
    if (errno != 0 || number < 2 || number > UINT32_MAX) {
      return reason("`min_samples` must be a whole number from 2 on, not `%s`", value);
    }
    settings->min_samples = (uint32_t)number;
  } else {
    return reason("there is no setting `%s`; the analyzer knows `threshold` and `min_samples`", name);
  }
  return NULL;
}

char *settings_read(settings_t *settings, const char *name, size_t name_length, const char *value, size_t value_length) {
  char *name_text = ended(name, name_length), *value_text = ended(value, value_length);
  char *wrong = read_setting(settings, name_text, value_text);
  free(name_text);
  free(value_text);
  return wrong;
}

void analyzer_start(analyzer_t *analyzer) {
  *analyzer = (analyzer_t){.settings = DEFAULT_SETTINGS, .categories = table_new(3), .products = table_new(1)};
}

static double deviation(prices_t prices) { return prices.count > 0 ? sqrt(prices.squares / prices.count) : 0; }

static maybe_t finite_only(double value) { return (maybe_t){.is_some = isfinite(value), .value = isfinite(value) ? value : 0}; }

/* With one price more. A price that is no finite number, or one that would make the sums so, is left out. */
static prices_t with_price(prices_t prices, double price) {
  double count = prices.count + 1;
  double delta = price - prices.mean;
  double mean = prices.mean + delta / count;
  double product = delta * (price - mean);
  double squares = prices.squares + product;
  return isfinite(squares) ? (prices_t){count, mean, squares} : prices;
}

/* How many deviations the price lies from the mean; none while there is nothing to judge by. */
static maybe_t z_score(prices_t prices, double price, uint32_t min_samples) {
  if (prices.count < min_samples) return (maybe_t){0};
  return finite_only((price - prices.mean) / deviation(prices));
}

/* The change against the product's last price, which this one replaces. */
static maybe_t move_percent(table_t *products, const char *id, size_t length, double price) {
  double last = NAN;
  uint32_t slot = table_slot(products, id, length, &last);
  if (slot == NO_SLOT) return (maybe_t){0};
  table_get(products, slot, &last);
  if (isfinite(price)) table_set(products, slot, &price);
  return finite_only((price - last) / fabs(last) * 100);
}

seen_t analyzer_judge(analyzer_t *analyzer, const char *id, size_t id_length, const char *category, size_t category_length,
                      double price) {
  /* A category or product for which the tables have no room is judged as if it came for the first time. */
  double numbers[3] = {0, 0, 0};
  uint32_t slot = table_slot(&analyzer->categories, category, category_length, numbers);
  if (slot != NO_SLOT) table_get(&analyzer->categories, slot, numbers);
  prices_t before = {numbers[0], numbers[1], numbers[2]};
  prices_t after = with_price(before, price);
  if (slot != NO_SLOT) table_set(&analyzer->categories, slot, (double[]){after.count, after.mean, after.squares});
  maybe_t z = z_score(before, price, analyzer->settings.min_samples);
  return (seen_t){
      .samples = (int64_t)after.count,
      .mean = after.mean,
      .deviation = deviation(after),
      .move_percent = move_percent(&analyzer->products, id, id_length, price),
      .z_score = z,
      .is_outlier = z.is_some && fabs(z.value) > analyzer->settings.threshold,
      .expected = before.mean,
  };
}

uint8_t *analyzer_save(const analyzer_t *analyzer, size_t *length) {
  const table_t *tables[] = {&analyzer->categories, &analyzer->products};
  *length = sizeof MAGIC + 2 * LENGTH + tables[0]->length + tables[1]->length;
  uint8_t *state = malloc(*length);
  if (state == NULL) abort();
  memcpy(state, MAGIC, sizeof MAGIC);
  uint8_t *at = state + sizeof MAGIC;
  for (int i = 0; i < 2; i++) {
    uint32_t bytes = (uint32_t)tables[i]->length;
    memcpy(at, &bytes, LENGTH);
    if (bytes > 0) memcpy(at + LENGTH, tables[i]->bytes, bytes);
    at += LENGTH + bytes;
  }
  return state;
}

/* Loads the table that stands here after its length. */
static bool load(table_t *table, size_t numbers, const uint8_t *state, size_t length, size_t *at) {
  uint32_t bytes;
  if (LENGTH > length - *at) return false;
  memcpy(&bytes, state + *at, LENGTH);
  *at += LENGTH;
  if (bytes > length - *at || !table_load(table, numbers, state + *at, bytes)) return false;
  *at += bytes;
  return true;
}

bool analyzer_load(analyzer_t *analyzer, const uint8_t *state, size_t length, char reason[MAX_REASON]) {
  if (length < sizeof MAGIC || memcmp(state, MAGIC, sizeof MAGIC) != 0) {
    snprintf(reason, MAX_REASON, "the state is not one of this module, or of a later version of it");
    return false;
  }
  table_t categories = table_new(3), products = table_new(1);
  size_t at = sizeof MAGIC;
  bool is_good = load(&categories, 3, state, length, &at) && load(&products, 1, state, length, &at) && at == length;
  if (!is_good) {
    table_free(&categories);
    table_free(&products);
    snprintf(reason, MAX_REASON, "the state of %zu bytes is damaged", length);
    return false;
  }
  table_free(&analyzer->categories);
  table_free(&analyzer->products);
  analyzer->categories = categories;
  analyzer->products = products;
  return true;
}
