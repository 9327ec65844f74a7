// The first stage of the product feed: it normalises the category, rejects impossible prices with a reason, and adds a
// discount and a price band.
//
// This file joins the logic of product.ts to the contract in wit/processor.wit. The module keeps nothing from one record to
// the next; its settings are the only state.

import type { Change, Product, Result } from './bindings/processor'
import { discount, droppedCategories, normalise, priceBand, refusePrice } from './product.ts'

let dropped = new Set<string>()

export const configure = (settings: [string, string][]): void => {
  dropped = droppedCategories(settings)
}

export const process = (records: Product[]): Result<Change | null, string>[] => records.map(answer)

const answer = (record: Product): Result<Change | null, string> => {
  const reason = refusePrice(record.price)
  if (reason !== null) return { tag: 'err', val: reason }
  const category = normalise(record.category)
  if (category === '') return { tag: 'err', val: 'the category is empty' }
  if (dropped.has(category)) return { tag: 'ok', val: null }
  const change = { category, discount: discount(record.quantity), priceBand: priceBand(record.price) }
  return { tag: 'ok', val: change }
}
