/* The first stage of the product feed: it normalises the category, rejects impossible prices with a reason, and adds a
   discount and a price band.

   This file joins the logic of product.c to the contract in wit/processor.wit. The module keeps nothing from one record to
   the next; its settings are the only state. */

#include "product.h"

/* The categories, normalised, whose records are dropped. */
static processor_string_t *dropped;
static size_t dropped_count;

static void say(processor_string_t *out, const char *before, processor_string_t what, const char *after) {
  out->len = strlen(before) + what.len + strlen(after);
  out->ptr = bespoke_list(out->len, 1);
  memcpy(out->ptr, before, strlen(before));
  memcpy(out->ptr + strlen(before), what.ptr, what.len);
  memcpy(out->ptr + strlen(before) + what.len, after, strlen(after));
}

/* Adds the categories of a list with commas. */
static void drop(processor_string_t list) {
  for (size_t begin = 0; begin <= list.len;) {
    size_t end = begin;
    while (end < list.len && list.ptr[end] != ',') end++;
    processor_string_t category;
    processor_string_dup_n(&category, (const char *)list.ptr + begin, end - begin);
    normalise(&category);
    if (category.len > 0) {
      dropped = realloc(dropped, (dropped_count + 1) * sizeof *dropped);
      if (dropped == NULL) abort();
      dropped[dropped_count++] = category;
    }
    begin = end + 1;
  }
}

static bool is_dropped(processor_string_t category) {
  for (size_t i = 0; i < dropped_count; i++) {
    if (dropped[i].len == category.len && memcmp(dropped[i].ptr, category.ptr, category.len) == 0) return true;
  }
  return false;
}

bool exports_processor_configure(processor_list_tuple2_string_string_t *settings, processor_string_t *err) {
  for (size_t i = 0; i < settings->len; i++) {
    if (!BESPOKE_IS(settings->ptr[i].f0, "drop_categories")) {
      say(err, "there is no setting `", settings->ptr[i].f0, "`; the processor knows `drop_categories`");
      processor_list_tuple2_string_string_free(settings);
      return false;
    }
  }
  for (size_t i = 0; i < dropped_count; i++) processor_string_free(&dropped[i]);
  dropped_count = 0;
  for (size_t i = 0; i < settings->len; i++) drop(settings->ptr[i].f1);
  processor_list_tuple2_string_string_free(settings);
  return true;
}

/* The answer for one record. The category moves from the record to the answer. */
static processor_result_option_change_string_t answer(processor_product_t *record) {
  processor_result_option_change_string_t answer = {.is_err = false};
  char reason[MAX_REASON];
  if (refuse_price(record->price, reason)) {
    answer.is_err = true;
    processor_string_dup(&answer.val.err, reason);
    return answer;
  }
  normalise(&record->category);
  if (record->category.len == 0) {
    answer.is_err = true;
    processor_string_dup(&answer.val.err, "the category is empty");
    return answer;
  }
  if (is_dropped(record->category)) return answer;
  answer.val.ok.is_some = true;
  answer.val.ok.val.category = record->category;
  answer.val.ok.val.discount = discount(record->quantity);
  answer.val.ok.val.price_band = price_band(record->price);
  record->category.len = 0;
  return answer;
}

void exports_processor_process(processor_list_product_t *records, processor_list_result_option_change_string_t *ret) {
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = answer(&records->ptr[i]);
  processor_list_product_free(records);
}
