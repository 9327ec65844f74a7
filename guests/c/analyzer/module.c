/* The second stage of the product feed: per category the running mean and deviation of prices, per product the move against
   its last price, and a flag for outliers.

   This file joins the logic of analysis.c to the contract in wit/analyzer.wit, and holds the one instance of it. */

#include "analysis.h"

#include "analyzer.h"
#include "bespoke.h"

static analyzer_t module;

/* The module's state at the start, before anything is configured or restored. */
static analyzer_t *the_module(void) {
  if (module.categories.numbers == 0) analyzer_start(&module);
  return &module;
}

static analyzer_option_f64_t option(maybe_t value) { return (analyzer_option_f64_t){value.is_some, value.value}; }

bool exports_analyzer_configure(analyzer_list_tuple2_string_string_t *settings, analyzer_string_t *err) {
  settings_t read = DEFAULT_SETTINGS;
  bool is_good = true;
  for (size_t i = 0; i < settings->len && is_good; i++) {
    analyzer_string_t name = settings->ptr[i].f0, value = settings->ptr[i].f1;
    char *reason = settings_read(&read, (const char *)name.ptr, name.len, (const char *)value.ptr, value.len);
    if (reason != NULL) {
      analyzer_string_dup(err, reason);
      free(reason);
      is_good = false;
    }
  }
  if (is_good) the_module()->settings = read;
  analyzer_list_tuple2_string_string_free(settings);
  return is_good;
}

void exports_analyzer_analyze(analyzer_list_product_t *records, analyzer_output_t *ret) {
  ret->analysis.len = records->len;
  ret->analysis.ptr = bespoke_list(records->len, sizeof *ret->analysis.ptr);
  ret->alerts.len = 0;
  ret->alerts.ptr = bespoke_list(records->len, sizeof *ret->alerts.ptr);
  for (size_t i = 0; i < records->len; i++) {
    analyzer_product_t *record = &records->ptr[i];
    seen_t seen = analyzer_judge(the_module(), (const char *)record->id.ptr, record->id.len,
                                 (const char *)record->category.ptr, record->category.len, record->price);
    if (seen.is_outlier) {
      bespoke_analyzer_types_alert_t *alert = &ret->alerts.ptr[ret->alerts.len++];
      analyzer_string_dup_n(&alert->category, (const char *)record->category.ptr, record->category.len);
      analyzer_string_dup_n(&alert->id, (const char *)record->id.ptr, record->id.len);
      alert->price = record->price;
      alert->updated = record->updated;
      alert->z_score = seen.z_score.value;
      alert->expected = seen.expected;
    }
    ret->analysis.ptr[i] = (bespoke_analyzer_types_row_t){
        .category = record->category,
        .id = record->id,
        .price = record->price,
        .updated = record->updated,
        .samples = seen.samples,
        .mean = seen.mean,
        .deviation = seen.deviation,
        .move_percent = option(seen.move_percent),
        .z_score = option(seen.z_score),
        .outlier = seen.is_outlier,
    };
    /* They belong to the row now. */
    record->category.len = record->id.len = 0;
  }
  /* The generated code frees a list only if it has something in it. */
  if (ret->alerts.len == 0) free(ret->alerts.ptr);
  analyzer_list_product_free(records);
}

void exports_analyzer_snapshot(analyzer_list_u8_t *ret) { ret->ptr = analyzer_save(the_module(), &ret->len); }

bool exports_analyzer_restore(analyzer_list_u8_t *state, analyzer_string_t *err) {
  char reason[MAX_REASON];
  bool is_good = analyzer_load(the_module(), state->ptr, state->len, reason);
  if (!is_good) analyzer_string_dup(err, reason);
  analyzer_list_u8_free(state);
  return is_good;
}
