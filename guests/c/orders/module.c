/* Reads an order, which has a field of each type of Avro, and answers another: what each type becomes in C.

   This file joins the rest to the contract in wit/orders.wit: change.c makes of each field another value of its type, natural.c
   has dates, times and decimals as people read them. */

#include "bespoke.h"
#include "change.h"
#include "text.h"

/* Digits of the largest step. */
#define MAX_DIGITS 9

static int32_t step = 1;

/* Writes a line to the log of the host. The text is freed. */
static void say(wasi_logging_logging_level_t level, orders_string_t message) {
  orders_string_t context;
  orders_string_set(&context, "orders");
  wasi_logging_logging_log(level, &context, &message);
  orders_string_free(&message);
}

/* The number that is written with digits alone. */
static bool whole(orders_string_t text, int32_t *number) {
  int64_t read;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
  }
  if (text.len > MAX_DIGITS || !text_number(text, &read)) return false;
  *number = (int32_t)read;
  return true;
}

bool exports_orders_configure(orders_list_tuple2_string_string_t *settings, orders_string_t *err) {
  orders_string_t said = {0};
  memset(err, 0, sizeof *err);
  for (size_t i = 0; i < settings->len && err->len == 0; i++) {
    orders_string_t name = settings->ptr[i].f0, value = settings->ptr[i].f1;
    if (!BESPOKE_IS(name, "step")) {
      text_add(err, "there is no setting `%.*s`; this module knows `step`", TEXT(name));
    } else if (!whole(value, &step)) {
      text_add(err, "`step` must be a whole number, not `%.*s`", TEXT(value));
    }
  }
  orders_list_tuple2_string_string_free(settings);
  if (err->len > 0) return false;
  text_add(&said, "the step is %d", step);
  say(WASI_LOGGING_LOGGING_LEVEL_INFO, said);
  return true;
}

static orders_result_option_change_string_t answer(orders_order_t *order, const orders_about_t *about) {
  orders_result_option_change_string_t answer;
  memset(&answer, 0, sizeof answer);
  if (order->count < 0) {
    answer.is_err = true;
    text_add(&answer.val.err, "order %.*s has a count below zero", TEXT(order->id));
    orders_string_t warning = {0};
    text_add(&warning, "%.*s", TEXT(answer.val.err));
    say(WASI_LOGGING_LOGGING_LEVEL_WARN, warning);
    return answer;
  }
  if (order->coupon.is_some && BESPOKE_IS(order->coupon.val, "void")) return answer;
  orders_string_t reason = {0};
  answer.val.ok.is_some = change_of(order, about, step, &answer.val.ok.val, &reason);
  if (!answer.val.ok.is_some) {
    answer.is_err = true;
    answer.val.err = reason;
  }
  return answer;
}

void exports_orders_process(orders_list_order_t *records, orders_list_about_t *meta,
                            orders_list_result_option_change_string_t *ret) {
  ret->len = records->len;
  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = answer(&records->ptr[i], &meta->ptr[i]);
  orders_list_order_free(records);
  orders_list_about_free(meta);
}
