// The second stage of the product feed: per category the running mean and deviation of prices, per product the move against
// its last price, and a flag for outliers.
//
// This file joins the logic of analysis.ts to the contract in wit/analyzer.wit, and holds the one instance of it.

import type { Alert, Output, Product, Row } from './bindings/analyzer'
import { Analyzer, parseSettings } from './analysis.ts'

const analyzer = new Analyzer()

export const configure = (settings: [string, string][]): void => {
  analyzer.settings = parseSettings(settings)
}

export const analyze = (records: Product[]): Output => {
  const analysis: Row[] = []
  const alerts: Alert[] = []
  for (const { id, category, price, updated } of records) {
    const { expected, ...seen } = analyzer.judge(id, category, price)
    analysis.push({ category, id, price, updated, ...seen })
    if (seen.outlier && seen.zScore !== null) {
      alerts.push({ category, id, price, updated, zScore: seen.zScore, expected })
    }
  }
  return { analysis, alerts }
}

export const snapshot = (): Uint8Array => analyzer.snapshot()

export const restore = (state: Uint8Array): void => analyzer.restore(state)
