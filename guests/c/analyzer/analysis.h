/* The analysis itself: one record after the other, in order. Called by module.c. */

#ifndef ANALYSIS_H
#define ANALYSIS_H

#include "table.h"

#define MAX_REASON 128

/* What a user may set. */
typedef struct {
  /* The z-score beyond which a price is an outlier. */
  double threshold;
  /* How many prices a category needs before any is judged. */
  uint32_t min_samples;
} settings_t;

#define DEFAULT_SETTINGS ((settings_t){.threshold = 3, .min_samples = 30})

/* What was learnt, and how to judge by it. */
typedef struct {
  settings_t settings;
  /* Per category the count, the mean and the sum of squared deviations of its prices. */
  table_t categories;
  /* Per product its last price. */
  table_t products;
} analyzer_t;

/* A number, or none. */
typedef struct {
  bool is_some;
  double value;
} maybe_t;

/* What is told of a price. */
typedef struct {
  int64_t samples;
  double mean;
  double deviation;
  maybe_t move_percent;
  maybe_t z_score;
  bool is_outlier;
  /* The mean of the prices before it. */
  double expected;
} seen_t;

/* Reads one setting. Returns what is wrong with it, to be freed, or null. */
char *settings_read(settings_t *settings, const char *name, size_t name_length, const char *value, size_t value_length);

/* One that has seen nothing. */
void analyzer_start(analyzer_t *analyzer);

/* What a price looks like after those before it, which from now on include it. */
seen_t analyzer_judge(analyzer_t *analyzer, const char *id, size_t id_length, const char *category, size_t category_length,
                      double price);

/* All that was learnt, as bytes, to be freed. */
uint8_t *analyzer_save(const analyzer_t *analyzer, size_t *length);

/* Takes up what was saved. If it cannot be, nothing has changed and the reason says why. */
bool analyzer_load(analyzer_t *analyzer, const uint8_t *state, size_t length, char reason[MAX_REASON]);

#endif
