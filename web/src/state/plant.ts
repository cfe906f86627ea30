// What the plant last said. Devices are kept in plain objects that change in
// place, thousands of times a second if need be; `changed` tells the page, at
// most five times a second, to look again.
import { signal } from '@preact/signals'
import type { Device, DeviceReading, Dispatch, Fleet, Frame, PlantEvent, Score, System } from '../api/types.ts'
import type { Link } from '../api/live.ts'
import { PlantClock } from '../lib/clock.ts'
import { level, type Level, type Row } from '../lib/rows.ts'
import { Series } from '../lib/series.ts'
import { acknowledge } from './commands.ts'

export const link = signal<Link>({ phase: 'connecting', since: Date.now(), retryAt: 0 })
export const system = signal<System | null>(null)
export const fleet = signal<Fleet | null>(null)
export const dispatch = signal<Dispatch | null>(null)
export const scores = signal<Score[]>([])
export const events = signal<PlantEvent[]>([])
export const registryFault = signal('')

export const rows = new Map<string, Row>()
export const changed = signal(0)
/** wall is the browser's clock, moved on twice a second: what shows ages reads it. */
export const wall = signal(Date.now())
export const clock = new PlantClock()

export const samples = new Series([
  'power_kw', 'target_kw', 'available_charge_kw', 'available_discharge_kw',
  'soc_min_percent', 'soc_p5_percent', 'soc_mean_percent', 'soc_p95_percent', 'soc_max_percent', 'interventions',
] as const, 3600)

const eventsKept = 200
const lookAgainMs = 200
const clockStepMs = 60_000

let pending = 0
function touch(): void {
  if (pending !== 0) return
  pending = window.setTimeout(() => {
    pending = 0
    changed.value++
  }, lookAgainMs)
}

function row(id: string): Row {
  let r = rows.get(id)
  if (r === undefined) rows.set(id, (r = { id, device: null, reading: null }))
  return r
}

/** register notes what the registry says; devices it no longer has go. */
export function register(devices: Device[]): void {
  const known = new Set(devices.map((d) => d.deviceId))
  for (const id of rows.keys()) if (!known.has(id)) rows.delete(id)
  for (const device of devices) row(device.deviceId).device = device
  touch()
}

function measure(reading: DeviceReading): void {
  const r = row(reading.deviceId)
  // Back-filled readings are older than what is shown.
  if (r.reading === null || reading.timestamp >= r.reading.timestamp) r.reading = reading
}

function say(state: Fleet): void {
  if (state.time < samples.last * 1000 - clockStepMs) samples.clear() // the plant's clock was set back
  clock.set(state.time, state.speed, Date.now())
  fleet.value = state
  samples.push(state.time / 1000, {
    ...state,
    // Amounts in the message; on the axis discharging is negative.
    available_charge_kw: state.available_charge_kw === null ? null : Math.abs(state.available_charge_kw),
    available_discharge_kw: state.available_discharge_kw === null ? null : -Math.abs(state.available_discharge_kw),
  })
}

/** epoch counts how often all was forgotten: rows of an earlier one are dead. */
export let epoch = 0

/** forget drops all that was heard, as when another plant or run answers. */
export function forget(): void {
  fleet.value = dispatch.value = null
  scores.value = []
  events.value = []
  rows.clear()
  epoch++
  samples.clear()
  touch()
}

function note(more: PlantEvent[]): void {
  const byId = new Map(events.value.map((e) => [e.eventId, e]))
  for (const e of more) byId.set(e.eventId, e)
  events.value = [...byId.values()].sort((a, b) => b.timestamp - a.timestamp).slice(0, eventsKept)
}

/** apply takes one message of the plant. Types it does not know are left alone. */
export function apply(frame: Frame): void {
  switch (frame.type) {
    case 'snapshot': {
      const { data } = frame
      samples.gap()
      if (data.fleet) say({ ...data.fleet, time: data.fleet.time ?? data.time })
      else clock.set(data.time, null, Date.now())
      data.devices?.forEach(measure)
      if (data.dispatch) dispatch.value = data.dispatch
      scores.value = data.scores ?? []
      note(data.events ?? [])
      break
    }
    case 'state':
      say(frame.data)
      break
    case 'reading':
      measure({ ...frame.data, deviceId: frame.deviceId })
      break
    case 'readings':
      frame.data.forEach(measure)
      break
    case 'event':
      note([{ ...frame.data, deviceId: frame.data.deviceId ?? frame.deviceId }])
      break
    case 'ack':
      acknowledge(frame.data)
      return
    case 'score':
      scores.value = frame.data
      break
    default:
      return
  }
  touch()
}

/** stale says whether a row's reading is too old to be shown as current. */
export function stale(r: Row): boolean {
  return r.reading !== null && clock.stale(r.reading.timestamp, wall.value)
}

/** current says whether the page is being told the plant's state. */
export function current(): boolean {
  return link.value.phase === 'live' && !clock.silent(wall.value)
}

/** attention is how much of it a row asks for. While the page itself hears
 * nothing all rows are stale, and the banner says so once for all. */
export function attention(r: Row): Level {
  return level(r, stale(r) && current())
}
