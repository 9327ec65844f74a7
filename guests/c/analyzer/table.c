#include "table.h"

#include <stdlib.h>
#include <string.h>

/* A table remembers at most this many bytes: what memory a hostile feed of ever new keys can take. */
#define MAX_BYTES ((size_t)24 << 20)

#define LENGTH sizeof(uint32_t)
#define MIN_PLACES 64

static uint64_t hash_of(const uint8_t *key, size_t length) {
  /* FNV-1a (Fowler, Noll, Vo), with its bits mixed at the end, as the index takes the lowest. */
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ key[i]) * 1099511628211u;
  return hash ^ hash >> 32;
}

static size_t numbers_size(const table_t *table) { return table->numbers * sizeof(double); }

static const uint8_t *key_at(const table_t *table, uint32_t slot, uint32_t *length) {
  const uint8_t *at = table->bytes + slot + numbers_size(table);
  memcpy(length, at, LENGTH);
  return at + LENGTH;
}

static void *room(void *old, size_t size) {
  void *larger = realloc(old, size);
  if (larger == NULL) abort();
  return larger;
}

/* The place of a key in the index: that of its entry, or the free one where it belongs. */
static uint32_t *place_of(const table_t *table, const uint8_t *key, size_t length) {
  size_t mask = table->places - 1;
  for (size_t place = hash_of(key, length) & mask;; place = (place + 1) & mask) {
    uint32_t *slot = &table->index[place];
    if (*slot == NO_SLOT) return slot;
    uint32_t known_length;
    const uint8_t *known = key_at(table, *slot, &known_length);
    if (known_length == length && memcmp(known, key, length) == 0) return slot;
  }
}

/* Keeps half of the places free. */
static void grow(table_t *table) {
  if (2 * (table->count + 1) <= table->places) return;
  uint32_t *old = table->index;
  size_t places = table->places;
  table->places = places == 0 ? MIN_PLACES : 2 * places;
  table->index = room(NULL, table->places * sizeof *table->index);
  memset(table->index, 0xff, table->places * sizeof *table->index);
  for (size_t i = 0; i < places; i++) {
    if (old[i] == NO_SLOT) continue;
    uint32_t length;
    const uint8_t *key = key_at(table, old[i], &length);
    *place_of(table, key, length) = old[i];
  }
  free(old);
}

table_t table_new(size_t numbers) { return (table_t){.numbers = numbers}; }

void table_free(table_t *table) {
  free(table->bytes);
  free(table->index);
  *table = table_new(table->numbers);
}

uint32_t table_slot(table_t *table, const char *key, size_t length, const double *first) {
  grow(table);
  uint32_t *place = place_of(table, (const uint8_t *)key, length);
  if (*place != NO_SLOT) return *place;
  size_t end = table->length + numbers_size(table) + LENGTH + length;
  if (end > MAX_BYTES) return NO_SLOT;
  if (end > table->capacity) {
    table->capacity = end > 2 * table->capacity ? end : 2 * table->capacity;
    table->bytes = room(table->bytes, table->capacity);
  }
  uint8_t *at = table->bytes + table->length;
  uint32_t key_length = (uint32_t)length;
  memcpy(at, first, numbers_size(table));
  memcpy(at + numbers_size(table), &key_length, LENGTH);
  memcpy(at + numbers_size(table) + LENGTH, key, length);
  *place = (uint32_t)table->length;
  table->length = end;
  table->count++;
  return *place;
}

void table_get(const table_t *table, uint32_t slot, double *numbers) {
  memcpy(numbers, table->bytes + slot, numbers_size(table));
}

void table_set(table_t *table, uint32_t slot, const double *numbers) {
  memcpy(table->bytes + slot, numbers, numbers_size(table));
}

/* Whether bytes are UTF-8 (Unicode, table 3-7). */
static bool is_text(const uint8_t *bytes, size_t length) {
  for (size_t at = 0; at < length;) {
    uint8_t first = bytes[at++];
    if (first < 0x80) continue;
    size_t more = first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
    if (more == 0 || more > length - at) return false;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (bytes[at] < low || bytes[at] > high) return false;
    for (size_t i = 1; i < more; i++) {
      if ((bytes[at + i] & 0xc0) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

bool table_load(table_t *table, size_t numbers, const uint8_t *bytes, size_t length) {
  *table = table_new(numbers);
  if (length > MAX_BYTES) return false;
  for (size_t at = 0; at < length;) {
    uint32_t key_length;
    size_t head = numbers_size(table) + LENGTH;
    if (head > length - at) break;
    memcpy(&key_length, bytes + at + numbers_size(table), LENGTH);
    if (key_length > length - at - head) break;
    double first[4];
    memcpy(first, bytes + at, numbers_size(table));
    const uint8_t *key = bytes + at + head;
    size_t before = table->count;
    if (!is_text(key, key_length)) break;
    table_slot(table, (const char *)key, key_length, first);
    if (table->count == before) break;
    at += head + key_length;
  }
  if (table->length == length) return true;
  table_free(table);
  return false;
}
