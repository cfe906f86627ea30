import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Quality } from '../src/api/types.ts'
import { level, matcher, type Row, selected, sorted } from '../src/lib/rows.ts'

function row(id: string, more: { soc?: number | null; status?: string; state?: string; quality?: Quality; flags?: string[] | null; at?: number } = {}): Row {
  return {
    id,
    device: { deviceId: id, kind: 'sim', state: more.state ?? 'active' },
    reading: {
      timestamp: more.at ?? 1000,
      data: { soc: more.soc === undefined ? 50 : more.soc, voltage: 700, current: 0, power: 0, temperature: 25, status: more.status ?? 'idle' },
      quality: more.quality ?? 'good',
      flags: more.flags === undefined ? [] : more.flags,
    },
  }
}
const silent: Row = { id: 'z', device: null, reading: null }
const ids = (rows: Row[]) => rows.map((r) => r.id).join(' ')

test('sorted', () => {
  const rows = [row('b', { soc: 20, at: 3 }), row('a', { soc: 20, at: 9 }), silent, row('c', { soc: 70, at: 5 }), row('d', { soc: null, at: 1, quality: 'bad' })]
  assert.equal(ids(sorted(rows, 'id', false)), 'a b c d z')
  assert.equal(ids(sorted(rows, 'id', true)), 'z d c b a')
  assert.equal(ids(sorted(rows, 'soc', false)), 'a b c d z', 'rows without a value last')
  assert.equal(ids(sorted(rows, 'soc', true)), 'c a b d z', 'also when descending')
  assert.equal(ids(sorted(rows, 'age', false)), 'a c b d z', 'youngest first')
  assert.equal(ids(sorted(rows, 'quality', false)), 'd a b c z', 'worst first')
  assert.equal(ids(rows), 'b a z c d', 'the input is left alone')
})

test('level', () => {
  const table: [string, Row, boolean, string][] = [
    ['healthy', row('a'), false, 'normal'],
    ['flags null', row('a', { flags: null }), false, 'normal'],
    ['simulated', row('a', { flags: ['simulated'] }), false, 'normal'],
    ['flagged', row('a', { flags: ['simulated', 'sign'] }), false, 'warning'],
    ['stale', row('a'), true, 'warning'],
    ['suspect', row('a', { quality: 'suspect' }), false, 'warning'],
    ['offline', row('a', { status: 'offline' }), false, 'warning'],
    ['never heard', silent, false, 'warning'],
    ['bad', row('a', { quality: 'bad' }), false, 'critical'],
    ['fault', row('a', { status: 'fault' }), true, 'critical'],
    ['failed', row('a', { state: 'failed' }), false, 'critical'],
  ]
  for (const [name, r, stale, want] of table) assert.equal(level(r, stale), want, name)
})

test('matcher', () => {
  const table: [string, string, boolean][] = [
    ['', 'ess-001', true], ['  ', 'ess-001', true], ['ESS', 'ess-001', true], ['00', 'ess-001', true], ['002', 'ess-001', false],
    ['ess-00*', 'ess-001', true], ['ess-00*', 'ess-010', false], ['00*', 'ess-001', false], ['*-00?', 'ess-001', true],
    ['a.c*', 'abcd', false], ['(*', '(x', true],
  ]
  for (const [text, id, want] of table) assert.equal(matcher(text)(id), want, `${text} against ${id}`)
})

test('selected', () => {
  assert.equal(selected(silent, 'all', 'warning'), true)
  assert.equal(selected(row('a'), 'abnormal', 'normal'), false)
  assert.equal(selected(row('a'), 'abnormal', 'critical'), true)
  assert.equal(selected(row('a', { status: 'charging' }), 'status:charging', 'normal'), true)
  assert.equal(selected(row('a', { status: 'charging' }), 'status:idle', 'normal'), false)
  assert.equal(selected(row('a'), 'state:active', 'normal'), true)
  assert.equal(selected(silent, 'state:active', 'warning'), false)
})
