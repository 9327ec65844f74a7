// A function for each shape that an answer can have, over offers. A stage calls `process`, the tests call all.
//
// What is decided about an offer stands in offer.ts. The module counts the offers, which is its state, as text.

import type { Offer, Offers, Output, Place, Result, Summary, Sums, Total, Totals } from './bindings/shapes'
import { readLeast, refusal, total, whole } from './offer.ts'

let least = 1
let seen = 0

export const configure = (settings: [string, string][]): void => {
  least = readLeast(settings)
}

export const process = (records: Offer[]): Total[] => records.map(totalOf)

export const processOptions = (records: Offer[]): (Total | null)[] =>
  records.map(record => {
    const answer = totalOf(record)
    return isEnough(record) ? answer : null
  })

export const processResults = (records: Offer[]): Result<Total, string>[] =>
  records.map(record => {
    if (record.id === 'trap') throw new Error('told to trap')
    return checked(record, totalOf(record))
  })

export const processWhole = (records: Offer[]): Result<Total | null, string>[] => {
  haveIds(records)
  return records.map(record => {
    const answer = totalOf(record)
    return checked(record, isEnough(record) ? answer : null)
  })
}

export const processFilter = (records: Offer[]): boolean[] => {
  count(records.length)
  return records.map(isEnough)
}

export const processValidator = (records: Offer[]): Result<void, string>[] => {
  count(records.length)
  return records.map(record => checked(record, undefined))
}

export const processColumns = (records: Offers): Totals => {
  const before = seen
  count(records.price.length)
  return {
    total: records.price.map((price, i) => total(price, records.quantity[i] as number)),
    seen: records.price.map((_, i) => before + i + 1),
    note: records.note.map(note => (note === null ? 'no note' : null)),
  }
}

export const analyzeRows = (records: Offer[], meta: Place[]): Summary[] => {
  count(records.length)
  const enough = records.flatMap((record, i) => (isEnough(record) ? [{ record, place: meta[i] as Place }] : []))
  const [first, last] = [enough[0], enough.at(-1)]
  if (first === undefined || last === undefined) return []
  return [
    {
      offers: enough.length,
      total: enough.reduce((sum, { record }) => sum + total(record.price, record.quantity), 0),
      seen,
      partition: first.place.partition,
      first: first.place.offset,
      last: last.place.offset,
    },
  ]
}

export const analyzeColumns = (records: Offer[]): Sums => {
  count(records.length)
  const enough = records.filter(isEnough)
  return { id: enough.map(record => record.id), total: enough.map(record => total(record.price, record.quantity)) }
}

export const analyzeWhole = (records: Offer[]): Output => {
  haveIds(records)
  count(records.length)
  const output: Output = { sums: [], refusals: [] }
  for (const { id, price, quantity } of records) {
    const reason = refusal(id, price)
    if (reason === null) output.sums.push({ id, total: total(price, quantity) })
    else output.refusals.push({ id, reason })
  }
  return output
}

export const snapshot = (): string => String(seen)

export const restore = (state: string): void => {
  const number = whole(state)
  if (number === null) throw `the state \`${state}\` is no number`
  seen = number
}

/** Counts this many offers more. Returns how many came so far. */
const count = (offers: number): number => {
  seen += offers
  return seen
}

const totalOf = (record: Offer): Total => ({ total: total(record.price, record.quantity), seen: count(1) })

/** The answer, unless the offer is refused. */
const checked = <T>(record: Offer, answer: T): Result<T, string> => {
  const reason = refusal(record.id, record.price)
  return reason === null ? { tag: 'ok', val: answer } : { tag: 'err', val: reason }
}

const isEnough = (record: Offer): boolean => record.quantity >= least

const haveIds = (records: Offer[]): void => {
  if (records.some(record => record.id === '')) throw 'an offer has no id'
}
