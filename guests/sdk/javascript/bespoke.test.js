// Run with: node --test guests/sdk/javascript

import assert from 'node:assert/strict'
import test from 'node:test'

import * as bespoke from './bespoke.js'

test('days go both ways, also before the epoch', () => {
  for (const [days, day] of [[0, '1970-01-01'], [-1, '1969-12-31'], [19_782, '2024-02-29']]) {
    assert.equal(bespoke.dateOfDays(days).toISOString(), `${day}T00:00:00.000Z`)
    assert.equal(bespoke.daysOfDate(new Date(`${day}T23:59:59Z`)), days)
  }
  assert.equal(bespoke.dateOfMicros(-1).getTime(), -1)
})

test('decimals are those of the specification', () => {
  for (const [bytes, text] of [
    [[0], '0.00'],
    [[0x04, 0xd2], '12.34'],
    [[0xfb, 0x2e], '-12.34'],
    [[0x00, 0x80], '1.28'],
    [[0x80], '-1.28'],
    [[0xff, 0x7f], '-1.29'],
  ]) {
    assert.equal(bespoke.decimalText(Uint8Array.from(bytes), 2), text)
    assert.deepEqual([...bespoke.decimalBytes(text, 2)], bytes, text)
  }
  assert.equal(bespoke.decimalText(Uint8Array.from([0xff, 0xff]), 0), '-1')
  assert.throws(() => bespoke.decimalBytes('0.001', 2), RangeError)
  assert.throws(() => bespoke.decimalBytes('1e3', 2), RangeError)
})

test('a fixed is filled up', () => {
  for (const [text, bytes] of [['-0.01', [255, 255, 255]], ['0', [0, 0, 0]], ['327.68', [0, 128, 0]]]) {
    assert.deepEqual([...bespoke.decimalBytes(text, 2, 3)], bytes, text)
  }
  assert.throws(() => bespoke.decimalBytes('327.68', 2, 2), RangeError)
})

test('times of day have all digits of their unit', () => {
  assert.equal(bespoke.timeText(0, 3), '00:00:00.000')
  assert.equal(bespoke.timeText(86_399_999, 3), '23:59:59.999')
  assert.equal(bespoke.timeText(3_661_000_007, 6), '01:01:01.000007')
})

test('durations go both ways', () => {
  const bytes = Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0, 0)
  const duration = { months: 1, days: 2, millis: 259 }
  assert.deepEqual(bespoke.durationOf(bytes), duration)
  assert.deepEqual(bespoke.bytesOfDuration(duration), bytes)
  for (const days of [-1, 0.5, 2 ** 32]) assert.throws(() => bespoke.bytesOfDuration({ ...duration, days }), RangeError)
})

test('longs beyond 2^53 are whole as BigInt', () => {
  const text = '9223372036854775807'
  assert.equal(String(BigInt(text)), text)
  assert.equal(bespoke.unscaled(bespoke.bytesOfUnscaled(-(2n ** 63n))), -(2n ** 63n))
})

test('text is UTF-8 as others write it', () => {
  for (const text of ['', 'a', 'ÄÖ ß', '価格', '🦀x\0', '\u{10ffff}']) {
    const bytes = new TextEncoder().encode(text)
    assert.deepEqual(bespoke.utf8(text), bytes, text)
    assert.equal(bespoke.textOf(bytes), text)
  }
  assert.deepEqual(bespoke.utf8('\ud800'), new TextEncoder().encode('\ud800'))
})

test('what is not UTF-8 is refused', () => {
  for (const bytes of [[0x80], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff]]) {
    assert.throws(() => bespoke.textOf(Uint8Array.from(bytes)), RangeError, String(bytes))
  }
})
