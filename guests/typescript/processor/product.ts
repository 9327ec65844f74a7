// What the processor knows of products: functions without state, called by module.ts and tested by Node.

import type { PriceBand } from './bindings/processor'

/** A price above this is a mistake of the shop, in euro. */
const MAX_PRICE = 1e7

/** The smallest quantity of each discount, the largest first, and the share of the price that it takes off. */
const DISCOUNTS = [[100, 0.1], [50, 0.05], [10, 0.02]] as const

/** Prices below this are in the band `budget`, in euro. */
const STANDARD_FROM = 20

/** Prices from this on are in the band `premium`, in euro. */
const PREMIUM_FROM = 100

/** What Unicode calls white space; `\s` is not quite the same. */
const SPACES = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/

/** Text that is normal already, as nearly all is. */
const NORMAL = /^[!-@[-~]*$/

/** Why no product can have this price; null if one can. */
export const refusePrice = (price: number): string | null => {
  if (!Number.isFinite(price)) return `the price ${decimal(price)} is not a finite number`
  if (price <= 0) return `the price ${decimal(price)} is not above zero`
  if (price > MAX_PRICE) return `the price ${decimal(price)} is above the limit of ${decimal(MAX_PRICE)}`
  return null
}

/** Trims, lower-cases, and turns each run of inner white space into one hyphen. */
export const normalise = (category: string): string => {
  if (NORMAL.test(category)) return category
  return category.toLowerCase().split(SPACES).filter(word => word !== '').join('-')
}

/** The share of the price that is taken off for this quantity. */
export const discount = (quantity: number): number => DISCOUNTS.find(([least]) => quantity >= least)?.[1] ?? 0

/** Where a price stands among all. */
export const priceBand = (price: number): PriceBand =>
  price < STANDARD_FROM ? 'budget' : price < PREMIUM_FROM ? 'standard' : 'premium'

/** Reads the module's settings: the categories, normalised, whose records are dropped. Throws what is wrong with them. */
export const droppedCategories = (settings: [string, string][]): Set<string> => {
  const dropped = new Set<string>()
  for (const [name, value] of settings) {
    if (name !== 'drop_categories') throw `there is no setting \`${name}\`; the processor knows \`drop_categories\``
    for (const category of value.split(',')) dropped.add(normalise(category))
  }
  dropped.delete('')
  return dropped
}

/** A number with as many digits as tell it from all others, and no exponent. */
export const decimal = (value: number): string => {
  if (Number.isNaN(value)) return 'NaN'
  const sign = value < 0 || Object.is(value, -0) ? '-' : ''
  if (!Number.isFinite(value)) return `${sign}inf`
  const [digits = '', exponent = '0'] = String(Math.abs(value)).split('e')
  const [whole = '', part = ''] = digits.split('.')
  const shift = Number(exponent)
  if (shift < 0) return `${sign}0.${'0'.repeat(-shift - 1)}${whole}${part}`
  const tail = part.slice(shift)
  return `${sign}${whole}${part.slice(0, shift).padEnd(shift, '0')}${tail === '' ? '' : `.${tail}`}`
}
