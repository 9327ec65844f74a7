// `make guests-test` bundles and runs it; Node from 22.18 on takes it as it is: node --test guests/typescript/analyzer

import assert from 'node:assert/strict'
import test from 'node:test'

import { Analyzer, parseSettings } from './analysis.ts'

const prices = (analyzer: Analyzer, ...values: number[]) => values.map(value => analyzer.judge('b-1', 'books', value))

test('mean and deviation are those of the textbook', () => {
  const last = prices(new Analyzer(), 2, 4, 4, 4, 5, 5, 7, 9).at(-1)
  assert.deepEqual([last?.samples, last?.mean, last?.deviation], [8, 5, 2])
})

test('an outlier is judged by the prices before it', () => {
  const analyzer = new Analyzer()
  analyzer.settings = { threshold: 3, minSamples: 4 }
  const seen = prices(analyzer, 9, 11, 9, 11, 10.5, 20)
  assert.deepEqual(seen.map(s => s.outlier), [false, false, false, false, false, true])
  assert.deepEqual(seen.slice(3, 5).map(s => s.zScore), [null, 0.5])
})

test('numbers that are not finite spoil nothing', () => {
  const analyzer = new Analyzer()
  analyzer.settings = { threshold: 3, minSamples: 2 }
  const last = prices(analyzer, 9, NaN, 11, Infinity, 1.7e308, 10).at(-1)
  assert.deepEqual([last?.samples, last?.mean, last?.zScore], [3, 10, 0])
})

test('a restored analyzer goes on with the same numbers', () => {
  const [whole, restored] = [new Analyzer(), new Analyzer()]
  prices(whole, ...Array.from({ length: 50 }, (_, n) => 10 + (n % 7)))
  restored.restore(whole.snapshot())
  assert.deepEqual(restored.snapshot(), whole.snapshot())
  assert.deepEqual(prices(restored, 11, 12, 13), prices(whole, 11, 12, 13))
})

test('garbage is refused and changes nothing', () => {
  const analyzer = new Analyzer()
  prices(analyzer, 1, 2)
  const state = analyzer.snapshot()
  for (let end = 0; end < state.length; end += 1) {
    assert.throws(() => analyzer.restore(state.slice(0, end)), `cut at ${end}`)
  }
  assert.throws(() => analyzer.restore(Uint8Array.of(...state, 1)))
  assert.deepEqual(analyzer.snapshot(), state)
})

test('settings that make no sense are refused', () => {
  assert.deepEqual(parseSettings([['threshold', '2.5']]), { threshold: 2.5, minSamples: 30 })
  for (const [name, value] of [['threshold', '0'], ['threshold', 'nan'], ['threshold', ''], ['min_samples', '1'], ['max', '1']] as const) {
    assert.throws(() => parseSettings([[name, value]]), new RegExp(name))
  }
})
