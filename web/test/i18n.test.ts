import assert from 'node:assert/strict'
import { test } from 'node:test'
import { en } from '../src/i18n/en.ts'
import { fill } from '../src/i18n/fill.ts'
import { zh } from '../src/i18n/zh.ts'

const names = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()

test('both languages have the same keys', () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort())
})

test('both languages name the same values, and no text is empty', () => {
  for (const [key, text] of Object.entries(en)) {
    const other = zh[key as keyof typeof en]
    assert.notEqual(text.trim(), '', key)
    assert.notEqual(other.trim(), '', key)
    assert.deepEqual(names(other), names(text), key)
  }
})

test('Chinese texts are Chinese, but for names and symbols', () => {
  const same = Object.keys(en).filter((key) => en[key as keyof typeof en] === zh[key as keyof typeof en])
  assert.deepEqual(same.sort(), ['chart.series.p5', 'chart.series.p95', 'column.current', 'column.temperature', 'column.voltage'])
})

test('fill', () => {
  assert.equal(fill('{a} of {b}, {a}', { a: 1, b: 'x' }), '1 of x, 1')
  assert.equal(fill('{unknown} stays', {}), '{unknown} stays')
  assert.equal(fill('{a}', { a: '{b}', b: 'no' }), '{b}')
})
