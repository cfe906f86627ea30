import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client, Problem, problem } from '../src/api/client.ts'
import { backoff, subprotocol } from '../src/api/live.ts'
import { format, parse } from '../src/lib/address.ts'

// plant answers each call with the next of the given answers and keeps what was asked.
function plant(...answers: [number, unknown][]) {
  const asked: { method: string; url: string; authorization: string; body: unknown }[] = []
  const fetcher = (async (url: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>
    asked.push({ method: init.method!, url, authorization: headers.Authorization!, body: init.body ? JSON.parse(init.body as string) : null })
    const [status, body] = answers[asked.length - 1]!
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status })
  }) as unknown as typeof fetch
  return { client: new Client('secret', fetcher), asked }
}

test('devices reads all pages', async () => {
  const { client, asked } = plant([200, { items: [{ deviceId: 'a' }], next: 'c/1' }], [200, { items: [{ deviceId: 'b' }], next: '' }])
  assert.deepEqual((await client.devices()).map((d) => d.deviceId), ['a', 'b'])
  assert.deepEqual(asked.map((a) => a.url), ['/api/v1/devices?limit=1000', '/api/v1/devices?limit=1000&cursor=c%2F1'])
  assert.equal(asked[0]!.authorization, 'Bearer secret')
})

test('an empty page may have null items', async () => {
  assert.deepEqual(await plant([200, { items: null, next: '' }]).client.devices(), [])
})

test('history asks for whole milliseconds of some fields', async () => {
  const { client, asked } = plant([200, { items: [{ timestamp: 5, data: { soc: 1 } }], next: '' }])
  assert.deepEqual(await client.history('a', 1.7, 9.2, ['soc', 'power']), [{ timestamp: 5, data: { soc: 1 } }])
  assert.equal(asked[0]!.url, '/api/v1/devices/a/history?from=1&to=10&fields=soc%2Cpower&limit=10000')
})

test('control sends the command without a timestamp', async () => {
  const { client, asked } = plant([200, { code: 'SUCCESS' }])
  await client.control('a', 'c1', { command: 'setPower', parameters: { power: -5, duration: 60, priority: 'normal' } })
  assert.deepEqual(asked[0]!.body, { deviceId: 'a', commandId: 'c1', command: 'setPower', parameters: { power: -5, duration: 60, priority: 'normal' } })
})

test('a login shows no token', async () => {
  const asked: RequestInit[] = []
  const fetcher = (async (_: string, init: RequestInit) => {
    asked.push(init)
    return new Response('{"token":"a","refreshToken":"b"}')
  }) as unknown as typeof fetch
  assert.deepEqual(await new Client('', fetcher).login('ann', 'secret'), { token: 'a', refreshToken: 'b' })
  assert.deepEqual([asked[0]!.body, asked[0]!.headers], ['{"user":"ann","password":"secret"}', { 'Content-Type': 'application/json' }])
})

test('an answer without content is none', async () => {
  const client = new Client('', (async () => new Response(null, { status: 204 })) as unknown as typeof fetch)
  assert.equal(await client.logout('r'), undefined)
})

test('a refusal is a Problem with the reason of the plant', async () => {
  const { client } = plant([409, { code: 'LIMIT', reason: 'above 80 kW', hint: 'ask for less' }])
  await assert.rejects(client.control('a', 'c1', { command: 'stop', parameters: {} }), (err: Problem) => {
    assert.deepEqual([err.status, err.code, err.message, err.hint], [409, 'LIMIT', 'above 80 kW', 'ask for less'])
    return true
  })
})

test('a plant out of reach is a Problem with status 0', async () => {
  const client = new Client('secret', (() => Promise.reject(new TypeError('refused'))) as typeof fetch)
  await assert.rejects(client.system(), (err: Problem) => err.status === 0 && err.code === 'UNREACHABLE')
})

test('an answer that is not JSON is a Problem', async () => {
  await assert.rejects(plant([200, '<html>']).client.system(), (err: Problem) => err.code === 'BAD_ANSWER')
})

test('problem', () => {
  const table: [string, string, string][] = [
    ['{"code":"X","detail":"d","title":"t"}', 'X', 'd'],
    ['{"title":"t"}', 'HTTP 500', 't'],
    ['{"code":"X","reason":"","detail":"d"}', 'X', 'd'],
    ['<html>', 'HTTP 500', 'Server Error'],
    ['null', 'HTTP 500', 'Server Error'],
    ['', 'HTTP 500', 'Server Error'],
  ]
  for (const [body, code, detail] of table) {
    const p = problem(500, 'Server Error', body)
    assert.deepEqual([p.code, p.message], [code, detail], body)
  }
})

test('backoff doubles up to a limit and spreads by half', () => {
  assert.deepEqual([0, 1, 2, 10].map((n) => backoff(n, 1)), [500, 1000, 2000, 15000])
  assert.deepEqual([0, 1, 2, 10].map((n) => backoff(n, 0)), [250, 500, 1000, 7500])
})

test('subprotocol keeps ordinary tokens and encodes what a name may not have', () => {
  assert.equal(subprotocol('Ab_9-.~'), 'bearer.Ab_9-.~')
  assert.equal(subprotocol('a/b=c+d% é'), 'bearer.a%2Fb%3Dc+d%25%20%C3%A9')
  for (const token of ['a/b=c+d% é', '(x)"@,;:\\[]?{}']) assert.equal(decodeURIComponent(subprotocol(token)), 'bearer.' + token)
})

test('the fragment', () => {
  assert.deepEqual(parse('#token=ab+c%2F&device=ess-001'), { token: 'ab+c/', device: 'ess-001' })
  assert.deepEqual(parse(''), { token: '', device: '' })
  assert.equal(format({ device: '' }), '')
  assert.deepEqual(parse(format({ device: 'ess_1' })), { token: '', device: 'ess_1' })
  assert.ok(!format({ token: 'secret', device: 'a' } as { device: string }).includes('secret'))
})
