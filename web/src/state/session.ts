// Who is signed in, and the connection that comes with it.
import { computed, effect, signal } from '@preact/signals'
import { Client, Problem } from '../api/client.ts'
import { Live } from '../api/live.ts'
import type { Role } from '../api/types.ts'
import { format, parse } from '../lib/address.ts'
import { reasonOf } from './commands.ts'
import { apply, dispatch, forget, link, register, registryFault, system, wall } from './plant.ts'

const storageKey = 'yunchu.token'
const registryEveryMs = 30_000
const slowEveryMs = 10_000

/** token is that of the signed-in person, empty while nobody is. */
export const token = signal('')
/** refusal says why the sign-in form is shown again, empty at first. */
export const refusal = signal<'' | 'refused'>('')
/** opened is the device whose faceplate is open, or empty. */
export const opened = signal('')
export const client = computed(() => new Client(token.value))
export const dispatchFault = signal('')

const role = computed<Role>(() => system.value?.role ?? 'viewer')
export const mayCommand = computed(() => ['operator', 'engineer', 'admin'].includes(role.value))
export const mayConfigure = computed(() => ['engineer', 'admin'].includes(role.value))

let live: Live | null = null
const timers: number[] = []

/** begin takes the token out of the address, or the one this tab had before. */
export function begin(): void {
  const place = parse(location.hash)
  if (place.token !== '') sessionStorage.setItem(storageKey, place.token)
  opened.value = place.device
  history.replaceState(null, '', location.pathname + location.search + format(place))
  addEventListener('hashchange', () => {
    const next = parse(location.hash)
    history.replaceState(null, '', location.pathname + location.search + format(next))
    opened.value = next.device
    if (next.token !== '') signIn(next.token)
  })
  setInterval(() => (wall.value = Date.now()), 500)
  effect(() => {
    const fragment = format({ device: opened.value })
    if (fragment !== location.hash) history.pushState(null, '', location.pathname + location.search + fragment)
  })
  const known = sessionStorage.getItem(storageKey)
  if (known) signIn(known)
}

/** check asks the plant whether it accepts a token; it rejects with a Problem. */
export async function check(candidate: string): Promise<void> {
  await new Client(candidate).system()
}

export function signIn(candidate: string): void {
  leave()
  sessionStorage.setItem(storageKey, candidate)
  refusal.value = ''
  token.value = candidate
  const url = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/api/v1/ws`
  live = new Live(url, candidate, {
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
  void refused().then((no) => {
    if (!no && token.value === candidate) live?.start()
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

export function signOut(): void {
  leave()
  sessionStorage.removeItem(storageKey)
  refusal.value = ''
}

/** retry attempts the connection at once. */
export function retry(): void {
  live?.retry()
}

function leave(): void {
  live?.stop()
  live = null
  timers.splice(0).forEach((timer) => clearInterval(timer))
  token.value = ''
  system.value = null
  forget()
}

// refused signs out if the plant no longer takes the token, as after a restart
// with another one. A plant that cannot be reached has refused nothing.
async function refused(): Promise<boolean> {
  try {
    const before = system.value
    const now = await client.value.system()
    if (before !== null && before.started !== now.started) forget() // it was restarted
    system.value = now
    return false
  } catch (err) {
    if (!(err instanceof Problem) || (err.status !== 401 && err.status !== 403)) return false
    signOut()
    refusal.value = 'refused'
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
