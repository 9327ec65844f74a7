// The module's state as bytes: what snapshot gives and restore takes. The same bytes in every language, so that a module
// takes over from one in another.
//
// A magic word with the version, then the table of categories and the table of products, each after its length in bytes (u32,
// little-endian). An entry of a table is its numbers (f64, little-endian), the length of its key (u32), and the key (UTF-8).

import { textOf, utf8 } from './bindings/bespoke.js'

/** Four letters, the last of which is the version. */
const MAGIC = utf8('ana1')

/** A table remembers at most this many bytes: what memory a hostile feed of ever new keys can take. */
const MAX_BYTES = 24 << 20

const F64 = 8
const U32 = 4

/** Text to a few numbers, always in the form in which it is saved: a snapshot is a copy of the bytes. */
export class Table {
  #numbers: number
  #bytes = new Uint8Array(1024)
  #view = new DataView(this.#bytes.buffer)
  #length = 0
  #index = new Map<string, number>()

  constructor(numbers: number) {
    this.#numbers = numbers
  }

  /** Where the entry of a key is, made with `first` if it is new. Null if there is no room for another. */
  slot(key: string, first: number[]): number | null {
    const known = this.#index.get(key)
    if (known !== undefined) return known
    const text = utf8(key)
    const at = this.#length
    const end = at + this.#numbers * F64 + U32 + text.length
    if (end > MAX_BYTES) return null
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length))
      larger.set(this.#bytes)
      this.#take(larger)
    }
    this.#length = end
    this.set(at, first)
    this.#view.setUint32(at + this.#numbers * F64, text.length, true)
    this.#bytes.set(text, end - text.length)
    this.#index.set(key, at)
    return at
  }

  get(at: number): number[] {
    return Array.from({ length: this.#numbers }, (_, n) => this.#view.getFloat64(at + n * F64, true))
  }

  set(at: number, numbers: number[]): void {
    numbers.forEach((number, n) => this.#view.setFloat64(at + n * F64, number, true))
  }

  save(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** The table of these bytes; null if they are not those of one. */
  static load(numbers: number, saved: Uint8Array): Table | null {
    if (saved.length > MAX_BYTES) return null
    const table = new Table(numbers)
    table.#take(saved.slice())
    table.#length = saved.length
    for (let at = 0; at < saved.length; ) {
      const begin = at + numbers * F64 + U32
      if (begin > saved.length) return null
      const end = begin + table.#view.getUint32(begin - U32, true)
      if (end > saved.length) return null
      const key = text(saved.subarray(begin, end))
      if (key === null || table.#index.has(key)) return null
      table.#index.set(key, at)
      at = end
    }
    return table
  }

  #take(bytes: Uint8Array<ArrayBuffer>): void {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}

/** The state as bytes. */
export const write = (...tables: Table[]): Uint8Array => {
  const saved = tables.map(table => table.save())
  const state = new Uint8Array(saved.reduce((length, bytes) => length + U32 + bytes.length, MAGIC.length))
  const view = new DataView(state.buffer)
  state.set(MAGIC)
  let at = MAGIC.length
  for (const bytes of saved) {
    view.setUint32(at, bytes.length, true)
    state.set(bytes, at + U32)
    at += U32 + bytes.length
  }
  return state
}

/** The state of these bytes: categories and products. Throws what is wrong with them. */
export const read = (state: Uint8Array): [Table, Table] => {
  if (MAGIC.some((byte, at) => state[at] !== byte)) {
    throw 'the state is not one of this module, or of a later version of it'
  }
  const [categories, rest] = loaded(3, state, MAGIC.length)
  const [products, end] = loaded(1, state, rest)
  if (categories === null || products === null || end !== state.length) {
    throw `the state of ${state.length} bytes is damaged`
  }
  return [categories, products]
}

/** The table that stands here after its length, and where it ends. */
const loaded = (numbers: number, state: Uint8Array, at: number): [Table | null, number] => {
  if (at + U32 > state.length) return [null, at]
  const length = new DataView(state.buffer, state.byteOffset).getUint32(at, true)
  const begin = at + U32
  if (begin + length > state.length) return [null, at]
  return [Table.load(numbers, state.subarray(begin, begin + length)), begin + length]
}

const text = (bytes: Uint8Array): string | null => {
  try {
    return textOf(bytes)
  } catch {
    return null
  }
}
