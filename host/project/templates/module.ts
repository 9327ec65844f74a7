t|// Trims `@text@`, and refuses records where nothing is left of it.
f|// Lets every record pass; answer false for those that are to be dropped.
n|// Counts records, with the running mean of `@number@`. The host keeps what was counted with the position in the topic.
c|// Counts records. The host keeps the count with the position in the topic.

t|import type { Change, @Record@, Result } from './bindings/@name@'
f|import type { @Record@ } from './bindings/@name@'
a|import type { @Record@, Row } from './bindings/@name@'

t|export const process = (records: @Record@[]): Result<Change | null, string>[] => records.map(answer)
t|
t|const answer = (record: @Record@): Result<Change | null, string> => {
t|  const text = record.@text_js@.trim()
t|  if (text === '') return { tag: 'err', val: '`@text@` is empty' }
t|  return { tag: 'ok', val: { @text_js@: text } }
t|}
f|export const process = (records: @Record@[]): boolean[] => records.map(record => true)
a|let count = 0
n|let mean = 0
a|
a|export const analyze = (records: @Record@[]): Row[] => records.map(row)
a|
n|export const snapshot = (): string => `${count} ${mean}`
c|export const snapshot = (): string => String(count)
a|
a|export const restore = (state: string): void => {
n|  const [first = NaN, second = NaN] = state.split(' ').map(Number)
n|  if (Number.isNaN(first + second)) throw `\`${state}\` is not a state of this module`
c|  const first = Number(state)
c|  if (Number.isNaN(first)) throw `\`${state}\` is not a state of this module`
a|  count = first
n|  mean = second
a|}
a|
a|const row = (record: @Record@): Row => {
a|  count += 1
n|  mean += (record.@number_js@ - mean) / count
n|  return { count, mean }
c|  return { count }
a|}
