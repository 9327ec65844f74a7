#include "change.h"

#include "bespoke.h"
#include "natural.h"
#include "text.h"

/* Bytes of the fixed that a fee is in. */
#define FEE_BYTES 8
#define HOUR_MILLIS 3600000

/* Moves a field from the order to the answer. */
#define TAKE(field) (change->field = order->field, memset(&order->field, 0, sizeof order->field))

static void reverse_bytes(orders_list_u8_t *bytes) {
  for (size_t i = 0; i < bytes->len / 2; i++) {
    uint8_t byte = bytes->ptr[i];
    bytes->ptr[i] = bytes->ptr[bytes->len - 1 - i];
    bytes->ptr[bytes->len - 1 - i] = byte;
  }
}

static void reverse_texts(orders_list_string_t *texts) {
  for (size_t i = 0; i < texts->len / 2; i++) {
    orders_string_t text = texts->ptr[i];
    texts->ptr[i] = texts->ptr[texts->len - 1 - i];
    texts->ptr[texts->len - 1 - i] = text;
  }
}

static bespoke_orders_types_status_t next_status(bespoke_orders_types_status_t status) {
  switch (status) {
    case BESPOKE_ORDERS_TYPES_STATUS_NEW: return BESPOKE_ORDERS_TYPES_STATUS_PACKED;
    case BESPOKE_ORDERS_TYPES_STATUS_PACKED: return BESPOKE_ORDERS_TYPES_STATUS_IN_TRANSIT;
    default: return BESPOKE_ORDERS_TYPES_STATUS_NEW;
  }
}

static void set(orders_string_t *text, const char *to) {
  orders_string_free(text);
  orders_string_dup(text, to);
}

/* None becomes this text, and any text none. */
static void flip(orders_option_string_t *text, const char *to) {
  bool was_there = text->is_some;
  orders_option_string_free(text);
  text->is_some = !was_there;
  if (text->is_some) orders_string_dup(&text->val, to);
}

/* Lives where they are called, and is called where they live. */
static void swap_customer(bespoke_orders_types_customer_t *customer) {
  orders_string_t name = customer->name;
  customer->name = customer->address.street;
  customer->address.street = name;
  flip(&customer->address.zip, "00000");
}

/* The next branch, with what was in this one. */
static void pay_otherwise(bespoke_orders_types_payment_t *payment) {
  bespoke_orders_types_payment_t other;
  memset(&other, 0, sizeof other);
  switch (payment->tag) {
    case BESPOKE_ORDERS_TYPES_PAYMENT_STRING:
      other.tag = BESPOKE_ORDERS_TYPES_PAYMENT_CARD;
      other.val.card.number = payment->val.string;
      other.val.card.limit = 1;
      break;
    case BESPOKE_ORDERS_TYPES_PAYMENT_CARD:
      other.tag = BESPOKE_ORDERS_TYPES_PAYMENT_LONG;
      other.val.long_ = payment->val.card.limit;
      bespoke_orders_types_payment_free(payment);
      break;
    default:
      other.tag = BESPOKE_ORDERS_TYPES_PAYMENT_STRING;
      text_add(&other.val.string, "%lld", (long long)payment->val.long_);
  }
  *payment = other;
}

/* The bytes of a list, each as two digits. */
static orders_list_string_t as_texts(orders_list_u8_t bytes) {
  orders_list_string_t texts = {.ptr = bespoke_list(bytes.len, sizeof *texts.ptr), .len = bytes.len};
  for (size_t i = 0; i < bytes.len; i++) text_add_hex(&texts.ptr[i], &bytes.ptr[i], 1);
  orders_list_u8_free(&bytes);
  return texts;
}

/* Each text with its place in the list. Texts are moved, and so is the keys' list back. */
static orders_list_tuple2_string_s64_t counted(orders_list_string_t texts) {
  orders_list_tuple2_string_s64_t entries = {.ptr = bespoke_list(texts.len, sizeof *entries.ptr), .len = texts.len};
  for (size_t i = 0; i < texts.len; i++) {
    entries.ptr[i].f0 = texts.ptr[i];
    entries.ptr[i].f1 = (int64_t)i;
  }
  if (texts.len > 0) free(texts.ptr);
  return entries;
}

static orders_list_string_t keys(orders_list_tuple2_string_s64_t entries) {
  orders_list_string_t texts = {.ptr = bespoke_list(entries.len, sizeof *texts.ptr), .len = entries.len};
  for (size_t i = 0; i < entries.len; i++) texts.ptr[i] = entries.ptr[i].f0;
  if (entries.len > 0) free(entries.ptr);
  return texts;
}

/* Another branch, with something of what was in this one. */
static void change_extra(bespoke_orders_types_option_extra_t *extra) {
  bespoke_orders_types_extra_t was = extra->val, *now = &extra->val;
  if (!extra->is_some) {
    extra->is_some = true;
    now->tag = BESPOKE_ORDERS_TYPES_EXTRA_BOOLEAN;
    now->val.boolean = true;
    return;
  }
  switch (was.tag) {
    case BESPOKE_ORDERS_TYPES_EXTRA_BOOLEAN:
      extra->is_some = false;
      break;
    case BESPOKE_ORDERS_TYPES_EXTRA_DOUBLE:
      now->val.double_ = -was.val.double_;
      break;
    case BESPOKE_ORDERS_TYPES_EXTRA_BYTES:
      now->tag = BESPOKE_ORDERS_TYPES_EXTRA_ARRAY;
      now->val.array = as_texts(was.val.bytes);
      break;
    case BESPOKE_ORDERS_TYPES_EXTRA_STATUS:
      now->val.status = next_status(was.val.status);
      break;
    case BESPOKE_ORDERS_TYPES_EXTRA_MARK:
      now->tag = BESPOKE_ORDERS_TYPES_EXTRA_BYTES;
      now->val.bytes = was.val.mark;
      break;
    case BESPOKE_ORDERS_TYPES_EXTRA_ARRAY:
      now->tag = BESPOKE_ORDERS_TYPES_EXTRA_MAP;
      now->val.map = counted(was.val.array);
      break;
    default:
      now->tag = BESPOKE_ORDERS_TYPES_EXTRA_ARRAY;
      now->val.array = keys(was.val.map);
  }
}

/* One more piece, of the next size and at twice the price. False if that is too large for C. */
static bool add_one(bespoke_orders_types_item_t *item) {
  orders_list_u8_t price;
  if (!natural_doubled(&item->price, 0, &price)) return false;
  orders_list_u8_free(&item->price);
  item->price = price;
  item->quantity++;
  if (!item->size.is_some) {
    item->size.is_some = true;
    item->size.val = BESPOKE_ORDERS_TYPES_SIZE_SMALL;
  } else if (item->size.val == BESPOKE_ORDERS_TYPES_SIZE_SMALL) {
    item->size.val = BESPOKE_ORDERS_TYPES_SIZE_LARGE;
  } else {
    item->size.is_some = false;
  }
  return true;
}

static void add_sum(orders_list_f64_t *row) {
  double sum = 0;
  for (size_t i = 0; i < row->len; i++) sum += row->ptr[i];
  row->ptr = realloc(row->len > 0 ? row->ptr : NULL, (row->len + 1) * sizeof *row->ptr);
  if (row->ptr == NULL) abort();
  row->ptr[row->len++] = sum;
}

/* None is no stock, no stock is none, and all other stock is owed. */
static void restock(orders_option_s64_t *stock) {
  bool was_none = !stock->is_some;
  stock->is_some = was_none || stock->val != 0;
  stock->val = was_none ? 0 : -stock->val;
}

/* Where a record is from, in one line. */
static void add_origin(orders_string_t *line, const orders_about_t *about, orders_option_string_t weekday) {
  text_add(line, "%.*s/%d/%lld %lld ", TEXT(about->topic), about->partition, (long long)about->offset,
           (long long)about->timestamp);
  if (about->key.is_some) {
    text_add_hex(line, about->key.val.ptr, about->key.val.len);
  } else {
    text_add(line, "-");
  }
  for (size_t i = 0; i < about->headers.len; i++) {
    text_add(line, " %.*s=", TEXT(about->headers.ptr[i].f0));
    text_add_hex(line, about->headers.ptr[i].f1.ptr, about->headers.ptr[i].f1.len);
  }
  if (weekday.is_some) {
    text_add(line, " %.*s", TEXT(weekday.val));
  } else {
    text_add(line, " no weekday");
  }
}

/* Changes what may be too large for C, in the order itself. */
static bool change_numbers(orders_order_t *order) {
  for (size_t i = 0; i < order->items.len; i++) {
    if (!add_one(&order->items.ptr[i])) return false;
  }
  for (size_t i = 0; i < order->parts.len; i++) {
    if (!add_one(&order->parts.ptr[i].f1)) return false;
  }
  orders_list_u8_t amount, fee;
  if (!natural_doubled(&order->amount, 0, &amount)) return false;
  if (!natural_doubled(&order->fee, FEE_BYTES, &fee)) {
    orders_list_u8_free(&amount);
    return false;
  }
  orders_list_u8_free(&order->amount);
  orders_list_u8_free(&order->fee);
  order->amount = amount;
  order->fee = fee;
  return true;
}

bool change_of(orders_order_t *order, const orders_about_t *about, int32_t step, orders_change_t *change,
               orders_string_t *reason) {
  int64_t number, exact;
  memset(change, 0, sizeof *change);
  if (!text_number(order->number, &number) || !text_number(order->exact, &exact)) {
    text_add(reason, "`%.*s` or `%.*s` is no long", TEXT(order->number), TEXT(order->exact));
    return false;
  }
  orders_list_string_t words;
  natural_words(order, exact, &words);
  if (!change_numbers(order)) {
    orders_list_string_free(&words);
    text_add(reason, "a decimal has more than 64 bits");
    return false;
  }
  change->words = words;
  change->paid = !order->paid;
  change->count = order->count + step;
  change->rank = order->rank * 3;
  change->weight = order->weight * 2;
  change->ratio = order->ratio * 2;
  change->total = order->total / 4;
  text_add(&change->number, "%lld", (long long)number + 1);
  TAKE(note);
  reverse_bytes(&change->note);
  TAKE(mark);
  reverse_bytes(&change->mark);
  change->status = next_status(order->status);
  TAKE(channel);
  if (BESPOKE_IS(change->channel, "WEB")) {
    set(&change->channel, "SHOP");
  } else if (BESPOKE_IS(change->channel, "SHOP")) {
    set(&change->channel, "WEB");
  }
  TAKE(customer);
  swap_customer(&change->customer);
  TAKE(coupon);
  flip(&change->coupon, "welcome");
  TAKE(gift);
  if (change->gift.is_some) text_add(&change->gift.val, "!");
  TAKE(payment);
  pay_otherwise(&change->payment);
  TAKE(extra);
  change_extra(&change->extra);
  TAKE(tags);
  reverse_texts(&change->tags);
  TAKE(items);
  TAKE(grid);
  for (size_t i = 0; i < change->grid.len; i++) add_sum(&change->grid.ptr[i]);
  TAKE(labels);
  for (size_t i = 0; i < change->labels.len; i++) {
    orders_string_t label = change->labels.ptr[i].f0;
    change->labels.ptr[i].f0 = change->labels.ptr[i].f1;
    change->labels.ptr[i].f1 = label;
  }
  TAKE(stock);
  for (size_t i = 0; i < change->stock.len; i++) restock(&change->stock.ptr[i].f1);
  TAKE(parts);
  TAKE(amount);
  TAKE(fee);
  change->day = bespoke_days(bespoke_date(order->day + 1));
  change->created = order->created + HOUR_MILLIS;
  change->changed = order->changed + 1;
  text_add(&change->exact, "%lld", (long long)exact + 1);
  add_origin(&change->origin, about, order->weekday);
  return true;
}
