import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compact, duration, none, number, signed } from '../src/lib/format.ts'

test('number', () => {
  const rows: [number | null | undefined, number, string][] = [
    [-3998.26, 0, '−3,998'], [-3998.26, 1, '−3,998.3'], [0.04, 1, '0.0'], [-0.04, 1, '0.0'], [-0.05001, 1, '−0.1'],
    [0, 0, '0'], [null, 1, none], [undefined, 1, none], [NaN, 1, none], [Infinity, 1, none], [1234567, 0, '1,234,567'],
  ]
  for (const [value, digits, want] of rows) assert.equal(number(value, digits, 'en'), want, `number(${value}, ${digits})`)
})

test('signed marks what is positive after rounding', () => {
  const rows: [number | null, string][] = [[50, '+50.0'], [-50, '−50.0'], [0.01, '0.0'], [-0.01, '0.0'], [0, '0.0'], [null, none]]
  for (const [value, want] of rows) assert.equal(signed(value, 1, 'en'), want, `signed(${value})`)
})

test('compact has digits by size', () => {
  const rows: [number | null, string][] = [[12345.6, '12,346'], [503.31, '503.3'], [12.345, '12.35'], [0.0123, '0.0123'], [0, '0.00'], [-2.5, '−2.50'], [null, none]]
  for (const [value, want] of rows) assert.equal(compact(value, 'en'), want, `compact(${value})`)
})

test('duration', () => {
  const rows: [number, string][] = [
    [-5, '0.0 s'], [450, '0.5 s'], [9999, '10.0 s'], [12_900, '12 s'], [119_000, '119 s'], [120_000, '2 min'], [7_199_000, '119 min'],
    [7_200_000, '2 h'], [172_800_000, '2 d'], [NaN, none],
  ]
  for (const [ms, want] of rows) assert.equal(duration(ms), want, `duration(${ms})`)
})
