// `make guests-test` bundles and runs it.

import assert from 'node:assert/strict'
import test from 'node:test'

import { readLeast, refusal, total } from './offer.ts'

test('an offer needs a price', () => {
  assert.equal(refusal('a', 0.01), null)
  for (const price of [0, -1, NaN]) assert.equal(refusal('a', price), 'offer `a` has no price')
  assert.equal(total(0.5, -3), -1.5)
})

test('settings are whole numbers', () => {
  assert.equal(readLeast([]), 1)
  assert.equal(readLeast([['least', '007']]), 7)
  for (const bad of ['', '-1', '+1', '1.0', '1000000000', 'x', '1\n']) {
    assert.throws(() => readLeast([['least', bad]]), /whole number/, bad)
  }
  assert.throws(() => readLeast([['most', '1']]), /most/)
})
