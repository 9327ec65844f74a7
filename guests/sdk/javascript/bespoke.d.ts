/** The moment with which a day since 1970-01-01 begins, in UTC (Avro's `date`). */
export function dateOfDays(days: number): Date
/** The day since 1970-01-01 that a moment is in, in UTC. */
export function daysOfDate(date: Date): number
/** The moment so many microseconds after 1970-01-01; a Date has whole milliseconds, what is finer is cut off. */
export function dateOfMicros(micros: number): Date
/** The whole number with these bytes: a `decimal` without its point. */
export function unscaled(bytes: Uint8Array): bigint
/** The bytes of a whole number: as many as a fixed has, or the shortest. Throws a RangeError if they are too few. */
export function bytesOfUnscaled(number: bigint, size?: number): Uint8Array
/** A `decimal` with so many digits after the point, such as `-12.30`. */
export function decimalText(bytes: Uint8Array, scale: number): string
/** The bytes of a `decimal`, as many as a fixed has, or the shortest. Throws a RangeError if digits would be lost. */
export function decimalBytes(text: string, scale: number, size?: number): Uint8Array
/** A time of day in units of so many digits of a second: 3 for `time-millis`, 6 for `time-micros`. */
export function timeText(units: number, digits: number): string
/** The three numbers of a `duration`. None of them can be told by another. */
export function durationOf(bytes: Uint8Array): { months: number; days: number; millis: number }
/** The twelve bytes of a `duration`. Throws a RangeError if a number is not of 32 bits without a sign. */
export function bytesOfDuration(duration: { months: number; days: number; millis: number }): Uint8Array
/** A text as UTF-8. */
export function utf8(text: string): Uint8Array
/** The text of UTF-8. Throws a RangeError if the bytes are not that. */
export function textOf(bytes: Uint8Array): string
