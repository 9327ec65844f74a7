// Reads an order, which has a field of each type of Avro, and answers another: what each type becomes in TypeScript.
//
// This file joins the rest to the contract in wit/orders.wit: change.ts makes of each field another value of its type, and
// bindings/bespoke.js turns numbers and bytes into dates, times and decimals, and back.

import { log } from 'wasi:logging/logging@0.1.0-draft'

import type { About, Change, Order, Result } from './bindings/orders'
import { changed } from './change.ts'

const CONTEXT = 'orders'
/** A number that is written with digits alone. */
const WHOLE = /^[0-9]{1,9}$/

let step = 1

export const configure = (settings: [string, string][]): void => {
  for (const [name, value] of settings) {
    if (name !== 'step') throw `there is no setting \`${name}\`; this module knows \`step\``
    if (!WHOLE.test(value)) throw `\`step\` must be a whole number, not \`${value}\``
    step = Number(value)
  }
  log('info', CONTEXT, `the step is ${step}`)
}

export const process = (records: Order[], meta: About[]): Result<Change | null, string>[] =>
  records.map((order, i) => answer(order, meta[i] as About))

const answer = (order: Order, about: About): Result<Change | null, string> => {
  if (order.count < 0) {
    const reason = `order ${order.id} has a count below zero`
    log('warn', CONTEXT, reason)
    return { tag: 'err', val: reason }
  }
  if (order.coupon === 'void') return { tag: 'ok', val: null }
  return { tag: 'ok', val: changed(order, about, step) }
}
