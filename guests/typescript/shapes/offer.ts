// What is decided about an offer: functions without state, called by module.ts and tested by Node.

/** A number that is written with digits alone. */
const WHOLE = /^[0-9]{1,9}$/

/** The price of all pieces. */
export const total = (price: number, quantity: number): number => price * quantity

/** Why an offer is refused; null if it is not. */
export const refusal = (id: string, price: number): string | null => (price > 0 ? null : `offer \`${id}\` has no price`)

/** The number that is written with digits alone; null if it is not. */
export const whole = (text: string): number | null => (WHOLE.test(text) ? Number(text) : null)

/** Reads the module's settings: the quantity below which an offer is dropped. Throws what is wrong with them. */
export const readLeast = (settings: [string, string][]): number => {
  let least = 1
  for (const [name, value] of settings) {
    if (name !== 'least') throw `there is no setting \`${name}\`; this module knows \`least\``
    const number = whole(value)
    if (number === null) throw `\`least\` must be a whole number, not \`${value}\``
    least = number
  }
  return least
}
