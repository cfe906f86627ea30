import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Series } from '../src/lib/series.ts'

const filled = (n: number, capacity: number) => {
  const s = new Series(['a', 'b'] as const, capacity)
  for (let i = 1; i <= n; i++) s.push(i, { a: i * 10, b: i % 2 ? null : i })
  return s
}

test('keeps the newest samples, oldest first', () => {
  const s = filled(7, 4)
  assert.equal(s.length, 4)
  assert.equal(s.last, 7)
  assert.deepEqual(s.window(10), { times: [4, 5, 6, 7], columns: { a: [40, 50, 60, 70], b: [4, null, 6, null] } })
  assert.deepEqual(s.window(2).times, [6, 7])
})

test('is empty at first and after clear', () => {
  const s = filled(3, 4)
  s.clear()
  assert.equal(s.last, -Infinity)
  assert.deepEqual(s.window(5), { times: [], columns: { a: [], b: [] } })
})

test('a sample of the same time replaces, an older one is dropped', () => {
  const s = filled(3, 4)
  s.push(3, { a: 1, b: 2 })
  s.push(2, { a: 9, b: 9 })
  assert.deepEqual(s.window(5), { times: [1, 2, 3], columns: { a: [10, 20, 1], b: [null, 2, 2] } })
})

test('a gap breaks the line once, before the next later sample', () => {
  const s = filled(2, 8)
  s.gap()
  s.gap()
  s.push(2, { a: 21, b: 2 }) // repeated by a snapshot: still the last before the gap
  s.push(4, { a: 40, b: 4 })
  s.push(5, { a: 50, b: 5 })
  assert.deepEqual(s.window(9), { times: [1, 2, 3, 4, 5], columns: { a: [10, 21, null, 40, 50], b: [null, 2, null, 4, 5] } })
})

test('a gap in an empty series is none', () => {
  const s = new Series(['a'] as const, 4)
  s.gap()
  s.push(1, { a: 1 })
  assert.deepEqual(s.window(4), { times: [1], columns: { a: [1] } })
})

test('a gap in a full ring drops the oldest samples', () => {
  const s = filled(4, 4)
  s.gap()
  s.push(6, { a: 60, b: 6 })
  assert.deepEqual(s.window(4).times, [3, 4, 5, 6])
})
