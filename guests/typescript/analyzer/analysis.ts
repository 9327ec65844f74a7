// The analysis itself: one record after the other, in order. Called by module.ts and tested by Node.
//
// Mean and deviation follow Welford, who adds one sample at a time without the loss of digits that the sum of squares has
// (Technometrics 4(3), 1962). A price is judged by those before it, so that an outlier cannot hide itself.

import { read, Table, write } from './state.ts'

/** What a user may set. */
export interface Settings {
  /** The z-score beyond which a price is an outlier. */
  threshold: number
  /** How many prices a category needs before any is judged. */
  minSamples: number
}

/** What is told of a price. */
export interface Seen {
  samples: number
  mean: number
  deviation: number
  movePercent: number | null
  zScore: number | null
  outlier: boolean
  /** The mean of the prices before it. */
  expected: number
}

/** The prices of a category: their count, their mean, and the sum of squared deviations from it. */
type Prices = [number, number, number]

const NUMBER = /^[+-]?(?:inf|infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)$/i
const WHOLE = /^\+?[0-9]+$/
const MAX_WHOLE = 2 ** 32 - 1

/** Reads what the pipeline sets; what it does not keeps its default. Throws what is wrong. */
export const parseSettings = (settings: [string, string][]): Settings => {
  const parsed = { threshold: 3, minSamples: 30 }
  for (const [name, value] of settings) {
    if (name === 'threshold') {
      const threshold = NUMBER.test(value) ? Number(value.replace(/inf(inity)?/i, 'Infinity')) : 0
      if (!(threshold > 0)) throw `\`threshold\` must be a number above 0, not \`${value}\``
      parsed.threshold = threshold
    } else if (name === 'min_samples') {
      const samples = WHOLE.test(value) ? Number(value) : 0
      if (samples < 2 || samples > MAX_WHOLE) throw `\`min_samples\` must be a whole number from 2 on, not \`${value}\``
      parsed.minSamples = samples
    } else {
      throw `there is no setting \`${name}\`; the analyzer knows \`threshold\` and \`min_samples\``
    }
  }
  return parsed
}

/** What was learnt, and how to judge by it. */
export class Analyzer {
  settings: Settings = parseSettings([])
  #categories = new Table(3)
  #products = new Table(1)

  /** What a price looks like after those before it, which from now on include it. */
  judge(product: string, category: string, price: number): Seen {
    // A category or product for which the tables have no room is judged as if it came for the first time.
    const at = this.#categories.slot(category, [0, 0, 0])
    const before = (at === null ? [0, 0, 0] : this.#categories.get(at)) as Prices
    const zScore = this.#zScore(before, price)
    const after = withPrice(before, price)
    if (at !== null) this.#categories.set(at, after)
    return {
      samples: after[0],
      mean: after[1],
      deviation: deviation(after),
      movePercent: this.#movePercent(product, price),
      zScore,
      outlier: zScore !== null && Math.abs(zScore) > this.settings.threshold,
      expected: before[1],
    }
  }

  /** All that was learnt, as bytes. */
  snapshot(): Uint8Array {
    return write(this.#categories, this.#products)
  }

  /** Takes up a snapshot. Throws what is wrong with it, and nothing has changed then. */
  restore(state: Uint8Array): void {
    const [categories, products] = read(state)
    this.#categories = categories
    this.#products = products
  }

  #zScore(before: Prices, price: number): number | null {
    if (before[0] < this.settings.minSamples) return null
    const zScore = (price - before[1]) / deviation(before)
    return Number.isFinite(zScore) ? zScore : null
  }

  #movePercent(product: string, price: number): number | null {
    const at = this.#products.slot(product, [NaN])
    if (at === null) return null
    const [last] = this.#products.get(at) as [number]
    if (Number.isFinite(price)) this.#products.set(at, [price])
    const percent = ((price - last) / Math.abs(last)) * 100
    return Number.isFinite(percent) ? percent : null
  }
}

/** With one price more. A price that is no finite number, or one that would make the sums so, is left out. */
const withPrice = (prices: Prices, price: number): Prices => {
  const count = prices[0] + 1
  const delta = price - prices[1]
  const mean = prices[1] + delta / count
  const squares = prices[2] + delta * (price - mean)
  return Number.isFinite(squares) ? [count, mean, squares] : prices
}

const deviation = ([count, , squares]: Prices): number => (count > 0 ? Math.sqrt(squares / count) : 0)
