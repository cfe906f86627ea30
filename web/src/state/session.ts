// Who is signed in, and the connection that comes with it.
import { computed, effect, signal } from '@preact/signals'
import { Client, Problem } from '../api/client.ts'
import { Live } from '../api/live.ts'
import type { Login, Role } from '../api/types.ts'
import { format, parse } from '../lib/address.ts'
import { family, type Grant, read, renewIn } from '../lib/grant.ts'
import { reasonOf } from './commands.ts'
import { apply, dispatch, forget, link, register, registryFault, system, wall } from './plant.ts'

const storageKey = 'yunchu.grant'
const registryEveryMs = 30_000
const slowEveryMs = 10_000
const lockMs = 2_000

/** token is that of the signed-in person, empty while nobody is. */
export const token = signal('')
/** refusal says why the sign-in form is shown again, empty at first. */
export const refusal = signal<'' | 'ended'>('')
/** opened is the device whose faceplate is open, or empty. */
export const opened = signal('')
export const client = computed(() => new Client(token.value))
export const dispatchFault = signal('')

const role = computed<Role>(() => system.value?.role ?? 'viewer')
export const mayCommand = computed(() => ['operator', 'engineer', 'admin'].includes(role.value))
export const mayConfigure = computed(() => ['engineer', 'admin'].includes(role.value))

let grant: Grant | null = null
let owned: Promise<void> = Promise.resolve() // until it is known which tab renews the session
let renewing: Promise<boolean> | null = null
let renewal = 0
let release = () => {} // lets go of the session's lock
let live: Live | null = null
const timers: number[] = []

/** begin takes the token out of the address, or the one this tab had before. */
export function begin(): void {
  const place = parse(location.hash)
  opened.value = place.device
  history.replaceState(null, '', location.pathname + location.search + format(place))
  addEventListener('hashchange', () => {
    const next = parse(location.hash)
    history.replaceState(null, '', location.pathname + location.search + format(next))
    opened.value = next.device
    if (next.token !== '') signIn(bearer(next.token))
  })
  setInterval(() => (wall.value = Date.now()), 500)
  effect(() => {
    const fragment = format({ device: opened.value })
    if (fragment !== location.hash) history.pushState(null, '', location.pathname + location.search + fragment)
  })
  const known = place.token !== '' ? bearer(place.token) : read(sessionStorage.getItem(storageKey))
  if (known) signIn(known)
}

/** bearer is the grant of a token that was given to somebody. */
export function bearer(token: string): Grant {
  return { token, refresh: '', since: Date.now() }
}

/** session is the grant of a login. */
export function session(login: Login): Grant {
  return { token: login.token, refresh: login.refreshToken, since: Date.now() }
}

/** check asks the plant whether it accepts a token; it rejects with a Problem. */
export async function check(candidate: string): Promise<void> {
  await new Client(candidate).system()
}

export function signIn(candidate: Grant): void {
  leave()
  refusal.value = ''
  take(candidate)
  owned = own(candidate)
  const url = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/api/v1/ws`
  live = new Live(url, candidate.token, {
    frame: apply,
    refused,
    link: (next) => {
      const back = next.phase === 'live' && link.value.phase !== 'live'
      link.value = next
      if (back) {
        void readSystem()
        void readRegistry()
        void readDispatch()
      }
    },
  })
  const opening = live
  void refused().then((no) => {
    if (!no && grant !== null && live === opening) live?.start()
  })
  timers.push(
    window.setInterval(() => { if (!document.hidden && link.value.phase === 'live') void readRegistry() }, registryEveryMs),
    window.setInterval(() => {
      if (document.hidden || link.value.phase !== 'live') return
      void readSystem()
      void readDispatch()
    }, slowEveryMs),
  )
}

/** signOut ends the session at the plant too, if it can be reached. */
export function signOut(): void {
  if (grant !== null && grant.refresh !== '') void new Client().logout(grant.refresh).catch(() => {})
  forgetGrant('')
}

function forgetGrant(why: typeof refusal.value): void {
  leave()
  sessionStorage.removeItem(storageKey)
  refusal.value = why
}

// take goes on with a grant from now on, and plans its renewal.
function take(next: Grant): void {
  grant = next
  token.value = next.token
  sessionStorage.setItem(storageKey, JSON.stringify(next))
  clearTimeout(renewal)
  const wait = renewIn(next, Date.now())
  if (wait !== null) renewal = window.setTimeout(() => void renew().catch(() => {}), wait)
}

// own holds the lock of a session as long as this tab has it. A copy of the tab has
// a copy of its tokens, and the plant takes a refresh token that comes twice for
// stolen: the copy lets go of it. A page that was loaded anew has the lock within two
// seconds. Without locks, as on a page without TLS, every tab is the only one.
function own(of: Grant): Promise<void> {
  if (of.refresh === '' || !navigator.locks) return Promise.resolve()
  return new Promise((known) => {
    const held = () => {
      known()
      return new Promise<void>((done) => (release = done))
    }
    navigator.locks.request(`yunchu.${family(of)}`, { signal: AbortSignal.timeout(lockMs) }, held).catch(() => {
      if (grant === of) take({ ...of, refresh: '' })
      known()
    })
  })
}

// renew trades the refresh token for the next pair, once for all who ask. False:
// there is no next pair. It rejects when the plant could not be asked.
function renew(): Promise<boolean> {
  renewing ??= (async () => {
    await owned
    const before = grant
    if (before === null || before.refresh === '') return false
    let next: Login
    try {
      next = await new Client().refresh(before.refresh)
    } catch (err) {
      if (err instanceof Problem && err.status === 401) return false
      clearTimeout(renewal)
      renewal = window.setTimeout(() => void renew().catch(() => {}), slowEveryMs)
      throw err
    }
    if (grant !== before) return false // signed out meanwhile
    take(session(next))
    live?.renew(next.token)
    return true
  })().finally(() => (renewing = null))
  return renewing
}

/** retry attempts the connection at once. */
export function retry(): void {
  live?.retry()
}

function leave(): void {
  live?.stop()
  live = null
  timers.splice(0).forEach((timer) => clearInterval(timer))
  clearTimeout(renewal)
  release()
  grant = null
  token.value = ''
  system.value = null
  forget()
}

// refused signs out if the plant no longer takes the token, as after a restart
// with another one, and the session cannot be renewed either. A plant that cannot
// be reached has refused nothing.
async function refused(): Promise<boolean> {
  try {
    const before = system.value
    const now = await client.value.system()
    if (before !== null && before.started !== now.started) forget() // it was restarted
    system.value = now
    return false
  } catch (err) {
    if (!(err instanceof Problem) || (err.status !== 401 && err.status !== 403)) return false
    try {
      if (err.status === 401 && (await renew())) return false
    } catch {
      return false
    }
    forgetGrant('ended')
    return true
  }
}

async function readSystem(): Promise<void> {
  await refused()
}

async function readRegistry(): Promise<void> {
  try {
    register(await client.value.devices())
    registryFault.value = ''
  } catch (err) {
    registryFault.value = reasonOf(err)
  }
}

async function readDispatch(): Promise<void> {
  try {
    dispatch.value = await client.value.dispatch()
    dispatchFault.value = ''
  } catch (err) {
    dispatchFault.value = reasonOf(err)
  }
}
