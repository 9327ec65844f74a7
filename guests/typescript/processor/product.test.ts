// `make guests-test` bundles and runs it; Node from 22.18 on takes it as it is: node --test guests/typescript/processor

import assert from 'node:assert/strict'
import test from 'node:test'

import { decimal, discount, droppedCategories, normalise, refusePrice } from './product.ts'

test('categories become lower-case words with hyphens', () => {
  for (const [given, normal] of [
    ['books', 'books'],
    ['  Home &  Garden\t', 'home-&-garden'],
    ['MÖBEL', 'möbel'],
    ['toys\xa0\u2003games', 'toys-games'],
    ['a\x1cB\ufeff', 'a\x1cb\ufeff'],
    ['ΟΔΟΣ', 'οδος'],
    [' \n ', ''],
  ] as const) {
    assert.equal(normalise(given), normal)
  }
})

test('impossible prices are refused with the reason', () => {
  for (const price of [NaN, Infinity, -Infinity, 0, -0, -1.5, 1e7 + 1]) {
    assert.ok(refusePrice(price)?.includes(` ${decimal(price)} `), String(price))
  }
  assert.equal(refusePrice(1e7), null)
})

test('numbers have no exponent', () => {
  const texts = [-0, 0.1, 1e7, 1e23, 1.5e21, -2.5e-7, 5e-324, 123.456].map(decimal)
  assert.deepEqual(texts.slice(0, 6), ['-0', '0.1', '10000000', '1' + '0'.repeat(23), '15' + '0'.repeat(20), '-0.00000025'])
  assert.equal(texts[6], `0.${'0'.repeat(323)}5`)
  assert.equal(texts[7], '123.456')
})

test('a larger quantity never gets a smaller discount', () => {
  assert.deepEqual([-5, 9, 10, 49, 50, 99, 100].map(discount), [0, 0, 0.02, 0.02, 0.05, 0.05, 0.1])
})

test('unknown settings are refused', () => {
  assert.deepEqual([...droppedCategories([['drop_categories', 'Gift Cards, ,samples']])], ['gift-cards', 'samples'])
  assert.throws(() => droppedCategories([['drop_category', 'x']]), /drop_category/)
})
