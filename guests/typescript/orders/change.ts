// Of each field another value of its type.

import {
  bytesOfUnscaled, dateOfDays, dateOfMicros, daysOfDate, decimalText, durationOf, timeText, unscaled,
} from './bindings/bespoke.js'
import type { About, Change, Customer, Extra, Item, Order, Payment, Size, Status } from './bindings/orders'

/** Digits after the point. */
const AMOUNT_SCALE = 2
const FEE_SCALE = 4
/** Bytes of the fixed that a fee is in. */
const FEE_BYTES = 8

const HOUR_MILLIS = 3_600_000
const NEXT_STATUS: Record<Status, Status> = { 'new': 'packed', 'packed': 'in-transit', 'in-transit': 'new' }

/** The answer to an order. */
export const changed = (order: Order, about: About, step: number): Change => ({
  paid: !order.paid,
  count: order.count + step,
  rank: order.rank * 3,
  weight: order.weight * 2,
  ratio: order.ratio * 2,
  total: order.total / 4,
  number: String(BigInt(order.number) + 1n),
  note: order.note.toReversed(),
  mark: order.mark.toReversed(),
  status: NEXT_STATUS[order.status],
  channel: order.channel === 'WEB' ? 'SHOP' : order.channel === 'SHOP' ? 'WEB' : order.channel,
  customer: swapped(order.customer),
  coupon: order.coupon === null ? 'welcome' : null,
  gift: order.gift === null ? null : `${order.gift}!`,
  payment: paidOtherwise(order.payment),
  extra: otherExtra(order.extra),
  tags: order.tags.toReversed(),
  items: order.items.map(more),
  grid: order.grid.map(row => [...row, row.reduce((sum, number) => sum + number, 0)]),
  labels: order.labels.map(([label, text]) => [text, label]),
  stock: order.stock.map(([part, stock]) => [part, restocked(stock)]),
  parts: order.parts.map(([part, item]) => [part, more(item)]),
  amount: bytesOfUnscaled(unscaled(order.amount) * 2n),
  fee: bytesOfUnscaled(unscaled(order.fee) * 2n, FEE_BYTES),
  day: daysOfDate(nextDay(dateOfDays(order.day))),
  created: new Date(order.created).getTime() + HOUR_MILLIS,
  changed: order.changed + 1,
  exact: String(BigInt(order.exact) + 1n),
  words: words(order),
  origin: origin(about, order.weekday),
})

const nextDay = (date: Date): Date => {
  date.setUTCDate(date.getUTCDate() + 1)
  return date
}

/** Lives where they are called, and is called where they live. */
const swapped = ({ name, address: { street, zip } }: Customer): Customer => ({
  name: street,
  address: { street: name, zip: zip === null ? '00000' : null },
})

/** The next branch, with what was in this one. */
const paidOtherwise = (payment: Payment): Payment => {
  switch (payment.tag) {
    case 'string': return { tag: 'card', val: { number: payment.val, limit: 1 } }
    case 'card': return { tag: 'long', val: payment.val.limit }
    case 'long': return { tag: 'string', val: String(payment.val) }
  }
}

/** Another branch, with something of what was in this one. */
const otherExtra = (extra: Extra | null): Extra | null => {
  switch (extra?.tag) {
    case undefined: return { tag: 'boolean', val: true }
    case 'boolean': return null
    case 'double': return { tag: 'double', val: -extra.val }
    case 'bytes': return { tag: 'array', val: Array.from(extra.val, byte => hex(Uint8Array.of(byte))) }
    case 'status': return { tag: 'status', val: NEXT_STATUS[extra.val] }
    case 'mark': return { tag: 'bytes', val: extra.val }
    case 'array': return { tag: 'map', val: extra.val.map((text, index) => [text, index]) }
    case 'map': return { tag: 'array', val: extra.val.map(([key]) => key) }
  }
}

/** One more piece, of the next size and at twice the price. */
const more = ({ sku, quantity, price, size }: Item): Item => {
  const next: Size | null = size === null ? 'small' : size === 'small' ? 'large' : null
  return { sku, quantity: quantity + 1, price: bytesOfUnscaled(unscaled(price) * 2n), size: next }
}

/** None is no stock, no stock is none, and all other stock is owed. */
const restocked = (stock: number | null): number | null => (stock === null ? 0 : stock === 0 ? null : -stock)

/** Dates, times, decimals and the span, as people read them. */
const words = (order: Order): string[] => {
  const { months, days, millis } = durationOf(order.span)
  const exact = BigInt(order.exact)
  return [
    dateOfDays(order.day).toISOString().slice(0, 10),
    timeText(order.opens, 3),
    timeText(order.closes, 6),
    new Date(order.created).toISOString(),
    finer(dateOfMicros(order.changed), BigInt(order.changed), 6),
    new Date(order.local).toISOString().slice(0, -1),
    finer(dateOfMicros(Number(BigInt.asIntN(64, (exact - modulo(exact, 1000n)) / 1000n))), exact, 9),
    decimalText(order.amount, AMOUNT_SCALE),
    decimalText(order.fee, FEE_SCALE),
    `${months} months ${days} days ${millis} ms`,
  ]
}

/** A moment with more digits than a Date has. */
const finer = (date: Date, units: bigint, digits: number): string => {
  const part = String(modulo(units, 10n ** BigInt(digits))).padStart(digits, '0')
  return `${date.toISOString().slice(0, 19)}.${part}Z`
}

const modulo = (number: bigint, by: bigint): bigint => ((number % by) + by) % by

const hex = (bytes: Uint8Array): string => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')

/** Where a record is from, in one line. */
const origin = (about: About, weekday: string | null): string => {
  const key = about.key === null ? '-' : hex(about.key)
  const headers = about.headers.map(([name, value]) => ` ${name}=${hex(value)}`).join('')
  const place = `${about.topic}/${about.partition}/${about.offset} ${about.timestamp}`
  return `${place} ${key}${headers} ${weekday ?? 'no weekday'}`
}
