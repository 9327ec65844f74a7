/* A function for each shape that an answer can have, over offers. A stage calls `process`, the tests call all.

   What is decided about an offer stands in offer.c. The module counts the offers, which is its state, as text. */

#include "offer.h"

#include "bespoke.h"
#include "shapes.h"

/* Room for a number of 64 bits as text. */
#define MAX_NUMBER 24

static int32_t least = 1;
static int64_t seen;

/* The three parts of a text, one after the other. */
static shapes_string_t said(const char *before, shapes_string_t what, const char *after) {
  shapes_string_t text;
  text.len = strlen(before) + what.len + strlen(after);
  text.ptr = bespoke_list(text.len, 1);
  memcpy(text.ptr, before, strlen(before));
  if (what.len > 0) memcpy(text.ptr + strlen(before), what.ptr, what.len);
  memcpy(text.ptr + strlen(before) + what.len, after, strlen(after));
  return text;
}

static shapes_string_t copied(shapes_string_t text) {
  shapes_string_t copy;
  shapes_string_dup_n(&copy, (const char *)text.ptr, text.len);
  return copy;
}

static bool whole(shapes_string_t text, int32_t *number) { return offer_whole((const char *)text.ptr, text.len, number); }

static bool is_enough(const shapes_offer_t *offer) { return offer->quantity >= least; }

static double total_of(const shapes_offer_t *offer) { return offer_total(offer->price, offer->quantity); }

static shapes_total_t total(const shapes_offer_t *offer) { return (shapes_total_t){.total = total_of(offer), .seen = ++seen}; }

static shapes_string_t refusal(const shapes_offer_t *offer) { return said("offer `", offer->id, "` has no price"); }

/* Refuses the batch if an offer has no id. */
static bool have_ids(shapes_list_offer_t *offers, shapes_string_t *err) {
  for (size_t i = 0; i < offers->len; i++) {
    if (offers->ptr[i].id.len == 0) {
      shapes_string_dup(err, "an offer has no id");
      shapes_list_offer_free(offers);
      return false;
    }
  }
  return true;
}

bool exports_shapes_configure(shapes_list_tuple2_string_string_t *settings, shapes_string_t *err) {
  bool is_good = true;
  for (size_t i = 0; i < settings->len && is_good; i++) {
    shapes_string_t name = settings->ptr[i].f0, value = settings->ptr[i].f1;
    if (!BESPOKE_IS(name, "least")) {
      *err = said("there is no setting `", name, "`; this module knows `least`");
      is_good = false;
    } else if (!whole(value, &least)) {
      *err = said("`least` must be a whole number, not `", value, "`");
      is_good = false;
    }
  }
  shapes_list_tuple2_string_string_free(settings);
  return is_good;
}

void exports_shapes_process(shapes_list_offer_t *records, shapes_list_total_t *ret) {
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = total(&records->ptr[i]);
  shapes_list_offer_free(records);
}

void exports_shapes_process_options(shapes_list_offer_t *records, shapes_list_option_total_t *ret) {
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) {
    ret->ptr[i].val = total(&records->ptr[i]);
    ret->ptr[i].is_some = is_enough(&records->ptr[i]);
  }
  shapes_list_offer_free(records);
}

void exports_shapes_process_results(shapes_list_offer_t *records, shapes_list_result_total_string_t *ret) {
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) {
    const shapes_offer_t *offer = &records->ptr[i];
    if (BESPOKE_IS(offer->id, "trap")) {
      fputs("told to trap\n", stderr);
      abort();
    }
    shapes_total_t answer = total(offer);
    ret->ptr[i].is_err = offer_is_refused(offer->price);
    if (ret->ptr[i].is_err) {
      ret->ptr[i].val.err = refusal(offer);
    } else {
      ret->ptr[i].val.ok = answer;
    }
  }
  shapes_list_offer_free(records);
}

bool exports_shapes_process_whole(shapes_list_offer_t *records, shapes_list_result_option_total_string_t *ret,
                                  shapes_string_t *err) {
  if (!have_ids(records, err)) return false;
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) {
    const shapes_offer_t *offer = &records->ptr[i];
    shapes_total_t answer = total(offer);
    ret->ptr[i].is_err = offer_is_refused(offer->price);
    if (ret->ptr[i].is_err) {
      ret->ptr[i].val.err = refusal(offer);
    } else {
      ret->ptr[i].val.ok.is_some = is_enough(offer);
      ret->ptr[i].val.ok.val = answer;
    }
  }
  shapes_list_offer_free(records);
  return true;
}

void exports_shapes_process_filter(shapes_list_offer_t *records, shapes_list_bool_t *ret) {
  seen += (int64_t)records->len;
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = is_enough(&records->ptr[i]);
  shapes_list_offer_free(records);
}

void exports_shapes_process_validator(shapes_list_offer_t *records, shapes_list_result_void_string_t *ret) {
  seen += (int64_t)records->len;
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) {
    ret->ptr[i].is_err = offer_is_refused(records->ptr[i].price);
    if (ret->ptr[i].is_err) ret->ptr[i].val.err = refusal(&records->ptr[i]);
  }
  shapes_list_offer_free(records);
}

void exports_shapes_process_columns(shapes_offers_t *records, shapes_totals_t *ret) {
  ret->seen.len = records->price.len;
  ret->seen.ptr = bespoke_list(records->price.len, sizeof *ret->seen.ptr);
  for (size_t i = 0; i < records->price.len; i++) {
    records->price.ptr[i] = offer_total(records->price.ptr[i], records->quantity.ptr[i]);
    ret->seen.ptr[i] = ++seen;
    shapes_option_string_t *note = &records->note.ptr[i];
    bool was_there = note->is_some;
    shapes_option_string_free(note);
    note->is_some = !was_there;
    if (note->is_some) shapes_string_dup(&note->val, "no note");
  }
  /* They are moved to the answer, not copied. */
  ret->total = records->price;
  ret->note = records->note;
  shapes_list_s32_free(&records->quantity);
}

void exports_shapes_analyze_rows(shapes_list_offer_t *records, shapes_list_place_t *meta, shapes_list_summary_t *ret) {
  seen += (int64_t)records->len;
  shapes_summary_t row = {.seen = seen};
  for (size_t i = 0; i < records->len; i++) {
    if (!is_enough(&records->ptr[i])) continue;
    if (row.offers++ == 0) {
      row.partition = meta->ptr[i].partition;
      row.first = meta->ptr[i].offset;
    }
    row.last = meta->ptr[i].offset;
    row.total += total_of(&records->ptr[i]);
  }
  ret->len = row.offers > 0 ? 1 : 0;
  ret->ptr = bespoke_list(ret->len, sizeof *ret->ptr);
  if (ret->len > 0) ret->ptr[0] = row;
  shapes_list_offer_free(records);
  shapes_list_place_free(meta);
}

void exports_shapes_analyze_columns(shapes_list_offer_t *records, shapes_sums_t *ret) {
  seen += (int64_t)records->len;
  size_t enough = 0, next = 0;
  for (size_t i = 0; i < records->len; i++) enough += is_enough(&records->ptr[i]);
  ret->id.len = ret->total.len = enough;
  ret->id.ptr = bespoke_list(enough, sizeof *ret->id.ptr);
  ret->total.ptr = bespoke_list(enough, sizeof *ret->total.ptr);
  for (size_t i = 0; i < records->len; i++) {
    if (!is_enough(&records->ptr[i])) continue;
    ret->id.ptr[next] = copied(records->ptr[i].id);
    ret->total.ptr[next++] = total_of(&records->ptr[i]);
  }
  shapes_list_offer_free(records);
}

bool exports_shapes_analyze_whole(shapes_list_offer_t *records, shapes_output_t *ret, shapes_string_t *err) {
  if (!have_ids(records, err)) return false;
  seen += (int64_t)records->len;
  size_t refused = 0, sum = 0, reason = 0;
  for (size_t i = 0; i < records->len; i++) refused += offer_is_refused(records->ptr[i].price);
  ret->refusals.len = refused;
  ret->refusals.ptr = bespoke_list(refused, sizeof *ret->refusals.ptr);
  ret->sums.len = records->len - refused;
  ret->sums.ptr = bespoke_list(ret->sums.len, sizeof *ret->sums.ptr);
  for (size_t i = 0; i < records->len; i++) {
    const shapes_offer_t *offer = &records->ptr[i];
    if (offer_is_refused(offer->price)) {
      ret->refusals.ptr[reason].id = copied(offer->id);
      ret->refusals.ptr[reason++].reason = refusal(offer);
    } else {
      ret->sums.ptr[sum].id = copied(offer->id);
      ret->sums.ptr[sum++].total = total_of(offer);
    }
  }
  shapes_list_offer_free(records);
  return true;
}

void exports_shapes_snapshot(shapes_string_t *ret) {
  char text[MAX_NUMBER];
  snprintf(text, sizeof text, "%lld", (long long)seen);
  shapes_string_dup(ret, text);
}

bool exports_shapes_restore(shapes_string_t *state, shapes_string_t *err) {
  int32_t number;
  bool is_good = whole(*state, &number);
  if (is_good) seen = number;
  if (!is_good) *err = said("the state `", *state, "` is no number");
  shapes_string_free(state);
  return is_good;
}
