import assert from 'node:assert/strict'
import { test } from 'node:test'
import { family, read, renewIn } from '../src/lib/grant.ts'

const login = { token: 't', refresh: 'yc_refresh_a.b', since: 1000 }

test('a login is renewed after ten minutes, one from before a sleep at once', () => {
  assert.equal(renewIn(login, 1000), 600_000)
  assert.equal(renewIn(login, 400_000), 201_000)
  assert.equal(renewIn(login, 9_000_000), 0)
})

test('a clock that was set back delays it by no more than that', () => {
  assert.equal(renewIn(login, -9_000_000), 600_000)
})

test('a token alone is not renewed', () => assert.equal(renewIn({ ...login, refresh: '' }, 9_000_000), null))

test('the half that stays names the session', () => assert.equal(family(login), 'yc_refresh_a'))

test('read takes what was kept and nothing else', () => {
  assert.deepEqual(read(JSON.stringify(login)), login)
  for (const text of [null, '', 'yc_viewer_x', 'null', '{}', '{"token":"","refresh":"","since":1}', '{"token":"t","refresh":1,"since":1}']) {
    assert.equal(read(text), null, String(text))
  }
})
