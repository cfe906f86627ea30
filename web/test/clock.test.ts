import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PlantClock } from '../src/lib/clock.ts'

test('before the plant is heard all is stale and time unknown', () => {
  const c = new PlantClock()
  assert.equal(c.now(5000), 0)
  assert.equal(c.silent(5000), true)
  assert.equal(c.stale(5000, 5000), true)
})

test('real time', () => {
  const c = new PlantClock()
  c.set(100_000, 1, 5000)
  assert.equal(c.now(5700), 100_700)
  assert.equal(c.age(100_000, 5700), 700)
  assert.equal(c.age(101_000, 5700), 0, 'a reading from ahead is new')
  assert.equal(c.stale(98_000, 6000), false, '3.0 s')
  assert.equal(c.stale(97_900, 6000), true, '3.1 s')
})

test('a silent plant makes everything stale', () => {
  const c = new PlantClock()
  c.set(100_000, null, 5000)
  assert.equal(c.silent(8000), false)
  assert.equal(c.silent(8001), true)
  assert.equal(c.stale(109_000, 8001), true)
})

test('sixty times real time: 3 s of wall time carry 180 s', () => {
  const c = new PlantClock()
  c.set(1_000_000, 60, 5000)
  assert.equal(c.now(6000), 1_060_000)
  assert.equal(c.stale(1_060_000 - 180_000, 6000), false)
  assert.equal(c.stale(1_060_000 - 180_001, 6000), true)
})

test('a speed that is null or zero counts as real time', () => {
  for (const speed of [null, 0]) {
    const c = new PlantClock()
    c.set(1000, speed, 0)
    assert.equal(c.now(500), 1500, `speed ${speed}`)
  }
})
