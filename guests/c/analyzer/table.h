/* A map from text to a few numbers that is always in the form in which it is saved.

   The entries stand one after the other in one run of bytes, in the order in which they came; an index by hash holds their
   positions. An entry is its numbers (f64, little-endian, as WebAssembly has them), the length of its key (u32), and the
   key (UTF-8). */

#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No entry. */
#define NO_SLOT UINT32_MAX

typedef struct {
  /* How many numbers an entry has. */
  size_t numbers;
  uint8_t *bytes;
  size_t length;
  size_t capacity;
  /* Positions of entries, by hash, with NO_SLOT for free places; a power of two of them. */
  uint32_t *index;
  size_t places;
  size_t count;
} table_t;

/* An empty table. */
table_t table_new(size_t numbers);

void table_free(table_t *table);

/* Where the entry of a key is, made with these numbers if it is new. NO_SLOT if there is no room for another. */
uint32_t table_slot(table_t *table, const char *key, size_t length, const double *first);

void table_get(const table_t *table, uint32_t slot, double *numbers);

void table_set(table_t *table, uint32_t slot, const double *numbers);

/* The table of these bytes, which are copied. False if they are not those of one; then there is nothing to free. */
bool table_load(table_t *table, size_t numbers, const uint8_t *bytes, size_t length);

#endif
