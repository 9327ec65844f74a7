// Turns Avro's logical types, which arrive as numbers and bytes, into JavaScript's own types and back, and text into UTF-8.
//
//   date                        dateOfDays, daysOfDate
//   timestamp-millis, -micros   new Date(n), date.getTime(); dateOfMicros
//   time-millis, -micros        timeText: what people read
//   decimal                     unscaled, bytesOfUnscaled: a BigInt; decimalText, decimalBytes: what people read
//   decimal in a fixed          the same, with the size of the fixed
//   duration                    durationOf, bytesOfDuration
//   long beyond 2^53            declare it `string` in the WIT; BigInt(text), String(big)
//
// QuickJS has no TextEncoder: utf8 and textOf stand in.

const DAY_MILLIS = 86_400_000

export const dateOfDays = days => new Date(days * DAY_MILLIS)

export const daysOfDate = date => Math.floor(date.getTime() / DAY_MILLIS)

export const dateOfMicros = micros => new Date(Math.floor(micros / 1000))

export const unscaled = bytes => {
  let number = 0n
  for (const byte of bytes) number = (number << 8n) | BigInt(byte)
  return BigInt.asIntN(8 * bytes.length, number)
}

export const bytesOfUnscaled = (number, size) => {
  let length = 1
  while (BigInt.asIntN(8 * length, number) !== number) length += 1
  if (length > size) throw new RangeError(`${number} needs ${length} bytes, and there are ${size}`)
  const bytes = new Uint8Array(size ?? length)
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    bytes[at] = Number(number & 0xffn)
    number >>= 8n
  }
  return bytes
}

export const decimalText = (bytes, scale) => {
  const number = unscaled(bytes)
  const digits = String(number < 0n ? -number : number).padStart(scale + 1, '0')
  const point = digits.length - scale
  return (number < 0n ? '-' : '') + digits.slice(0, point) + (scale > 0 ? `.${digits.slice(point)}` : '')
}

export const decimalBytes = (text, scale, size) => {
  const [, sign, whole, part = ''] = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(text) ?? []
  if (whole === undefined) throw new RangeError(`${text} is no decimal number`)
  if (/[^0]/.test(part.slice(scale))) throw new RangeError(`${text} has more than ${scale} digits after the point`)
  const number = BigInt(whole + part.slice(0, scale).padEnd(scale, '0'))
  return bytesOfUnscaled(sign === '-' ? -number : number, size)
}

export const timeText = (units, digits) => {
  const unit = 10 ** digits
  const two = number => String(number % 60).padStart(2, '0')
  const seconds = Math.floor(units / unit)
  const part = String(units % unit).padStart(digits, '0')
  return `${String(Math.floor(seconds / 3600)).padStart(2, '0')}:${two(Math.floor(seconds / 60))}:${two(seconds)}.${part}`
}

export const durationOf = bytes => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 12)
  return { months: view.getUint32(0, true), days: view.getUint32(4, true), millis: view.getUint32(8, true) }
}

export const bytesOfDuration = duration => {
  const view = new DataView(new ArrayBuffer(12))
  for (const [at, number] of [duration.months, duration.days, duration.millis].entries()) {
    if (!(Number.isInteger(number) && number >= 0 && number < 2 ** 32)) throw new RangeError(`${number} is not of 32 bits`)
    view.setUint32(4 * at, number, true)
  }
  return new Uint8Array(view.buffer)
}

export const utf8 = text => {
  const bytes = new Uint8Array(3 * text.length)
  let at = 0
  for (const character of text) {
    const point = character.codePointAt(0)
    // Half of a pair is no character.
    const code = point >= 0xd800 && point < 0xe000 ? 0xfffd : point
    if (code < 0x80) {
      bytes[at++] = code
    } else if (code < 0x800) {
      bytes[at++] = 0xc0 | (code >> 6)
      bytes[at++] = 0x80 | (code & 0x3f)
    } else if (code < 0x10000) {
      bytes[at++] = 0xe0 | (code >> 12)
      bytes[at++] = 0x80 | ((code >> 6) & 0x3f)
      bytes[at++] = 0x80 | (code & 0x3f)
    } else {
      bytes[at++] = 0xf0 | (code >> 18)
      bytes[at++] = 0x80 | ((code >> 12) & 0x3f)
      bytes[at++] = 0x80 | ((code >> 6) & 0x3f)
      bytes[at++] = 0x80 | (code & 0x3f)
    }
  }
  return bytes.slice(0, at)
}

// The least code of a sequence with so many bytes: shorter ones must be used for what is below.
const LEAST = [0, 0, 0x80, 0x800, 0x10000]

export const textOf = bytes => {
  const parts = []
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]
    const length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0
    let code = length === 1 ? first : first & (0xff >> (length + 1))
    for (let next = 1; next < length; next += 1) {
      const byte = bytes[at + next]
      if (byte === undefined || (byte & 0xc0) !== 0x80) throw new RangeError(`byte ${at + next} is not UTF-8`)
      code = (code << 6) | (byte & 0x3f)
    }
    if (length === 0 || code < LEAST[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      throw new RangeError(`byte ${at} is not UTF-8`)
    }
    parts.push(String.fromCodePoint(code))
    at += length
  }
  return parts.join('')
}
