#undef NDEBUG
#include "../analysis.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static seen_t judge(analyzer_t *analyzer, double price) { return analyzer_judge(analyzer, "b-1", 3, "books", 5, price); }

static analyzer_t started(uint32_t min_samples) {
  analyzer_t analyzer;
  analyzer_start(&analyzer);
  analyzer.settings.min_samples = min_samples;
  return analyzer;
}

static void done(analyzer_t *analyzer) {
  table_free(&analyzer->categories);
  table_free(&analyzer->products);
}

static void mean_and_deviation_are_those_of_the_textbook(void) {
  analyzer_t analyzer = started(30);
  const double prices[] = {2, 4, 4, 4, 5, 5, 7, 9};
  seen_t last = {0};
  for (int i = 0; i < 8; i++) last = judge(&analyzer, prices[i]);
  assert(last.samples == 8 && last.mean == 5 && last.deviation == 2);
  done(&analyzer);
}

static void an_outlier_is_judged_by_the_prices_before_it(void) {
  analyzer_t analyzer = started(4);
  const double prices[] = {9, 11, 9, 11, 10.5, 20};
  seen_t seen[6];
  for (int i = 0; i < 6; i++) seen[i] = judge(&analyzer, prices[i]);
  assert(!seen[3].z_score.is_some && seen[4].z_score.value == 0.5 && !seen[4].is_outlier && seen[5].is_outlier);
  done(&analyzer);
}

static void numbers_that_are_not_finite_spoil_nothing(void) {
  analyzer_t analyzer = started(2);
  const double prices[] = {9, NAN, 11, INFINITY, 1.7e308, 10};
  seen_t last = {0};
  for (int i = 0; i < 6; i++) last = judge(&analyzer, prices[i]);
  assert(last.samples == 3 && last.mean == 10 && last.z_score.is_some && last.z_score.value == 0);
  done(&analyzer);
}

static void a_restored_analyzer_goes_on_with_the_same_numbers(void) {
  analyzer_t whole = started(30), restored = started(30);
  for (int n = 0; n < 50; n++) judge(&whole, 10 + n % 7);
  size_t length, again_length;
  char reason[MAX_REASON];
  uint8_t *state = analyzer_save(&whole, &length);
  assert(analyzer_load(&restored, state, length, reason));
  uint8_t *again = analyzer_save(&restored, &again_length);
  assert(again_length == length && memcmp(again, state, length) == 0);
  for (int n = 0; n < 3; n++) {
    seen_t one = judge(&whole, 11 + n), other = judge(&restored, 11 + n);
    assert(one.samples == other.samples && one.mean == other.mean && one.z_score.value == other.z_score.value);
  }
  free(state);
  free(again);
  done(&whole);
  done(&restored);
}

static void garbage_is_refused_and_changes_nothing(void) {
  analyzer_t analyzer = started(30);
  judge(&analyzer, 1);
  judge(&analyzer, 2);
  size_t length, again_length;
  char reason[MAX_REASON];
  uint8_t *state = analyzer_save(&analyzer, &length);
  for (size_t end = 0; end < length; end++) assert(!analyzer_load(&analyzer, state, end, reason));
  uint8_t *longer = calloc(1, length + 1);
  assert(longer != NULL);
  memcpy(longer, state, length);
  assert(!analyzer_load(&analyzer, longer, length + 1, reason));
  uint8_t *again = analyzer_save(&analyzer, &again_length);
  assert(again_length == length && memcmp(again, state, length) == 0);
  free(state);
  free(longer);
  free(again);
  done(&analyzer);
}

static char *set(settings_t *settings, const char *name, const char *value) {
  return settings_read(settings, name, strlen(name), value, strlen(value));
}

static void settings_that_make_no_sense_are_refused(void) {
  settings_t settings = DEFAULT_SETTINGS;
  assert(set(&settings, "threshold", "2.5") == NULL && settings.threshold == 2.5);
  assert(set(&settings, "min_samples", "2") == NULL && settings.min_samples == 2);
  const char *bad[][2] = {{"threshold", "0"},   {"threshold", "nan"}, {"threshold", ""}, {"threshold", "0x1p3"},
                          {"min_samples", "1"}, {"min_samples", "2.5"}, {"max", "1"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char *reason = set(&settings, bad[i][0], bad[i][1]);
    assert(reason != NULL && strstr(reason, bad[i][0]) != NULL);
    free(reason);
  }
}

int main(void) {
  mean_and_deviation_are_those_of_the_textbook();
  an_outlier_is_judged_by_the_prices_before_it();
  numbers_that_are_not_finite_spoil_nothing();
  a_restored_analyzer_goes_on_with_the_same_numbers();
  garbage_is_refused_and_changes_nothing();
  settings_that_make_no_sense_are_refused();
  return 0;
}
