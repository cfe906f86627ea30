// What the plant says and hears, field by field. Units are those of the API:
// kW, kWh, V, A, °C, percent, and milliseconds since 1970 UTC. Power and current
// are positive into the device (charging). A number that is not known is null.

export type Role = 'viewer' | 'operator' | 'engineer' | 'admin' | 'auditor' | 'device'

/** Login is what a session gives: an access token for some minutes, and a token
 * that is good once for the next pair. */
export interface Login {
  token: string
  refreshToken: string
}

export interface System {
  name: string
  version: string
  tags: string[]
  simulation: boolean
  binary_sha256: string
  started: string // RFC 3339
  role: Role
  run: Run | null
}

/** Run is the scenario that drives the plant, if one does. */
export interface Run {
  scenario: string
  clock: 'virtual' | 'wall'
  speed: number | null
}

/** Values is what a device measured: power at the AC terminals, voltage and
 * current at the battery's DC terminals, temperature of the hottest cell. */
export interface Values {
  soc: number | null
  voltage: number | null
  current: number | null
  power: number | null
  temperature: number | null
  status: string
  soh?: number | null
}

export type Quality = 'good' | 'suspect' | 'bad'

export interface Reading {
  timestamp: number // when it was measured
  data: Values
  quality: Quality
  flags: string[] | null
}

export interface DeviceReading extends Reading {
  deviceId: string
}

export interface Device {
  deviceId: string
  kind: string
  state: string
  ratedKw?: number | null
  capacityKwh?: number | null
  deviceType?: string
  manufacturer?: string
  model?: string
  location?: { lat?: number; lon?: number; name?: string } | null
  installDate?: string
}

/** From the first number to the second; a second of 0 in a voltage is no upper bound. */
export type Window = [number, number]

export interface LimitValues {
  cap_kw?: number
  ramp_kw_per_s?: number
  soc_percent?: Window
  voltage_v?: Window
  temperature_c?: Window
}

/** What the guard keeps a device to, and the power that leaves now. */
export interface Limits {
  configured: LimitValues
  set: LimitValues
  acting: LimitValues
  envelope: { minKw: number; minBy: string; maxKw: number; maxBy: string }
}

export interface Page<T> {
  items: T[] | null
  next: string
}

/** A field that was not asked for is absent. */
export interface HistoryItem {
  timestamp: number
  data: Partial<Values>
}

export interface Fleet {
  time: number
  target_kw: number | null
  power_kw: number | null
  available_charge_kw: number | null
  available_discharge_kw: number | null
  shortfall_kw: number | null
  reason: string | null
  soc_mean_percent: number | null
  soc_min_percent: number | null
  soc_p5_percent: number | null
  soc_p95_percent: number | null
  soc_max_percent: number | null
  temperature_max_c: number | null
  online: number | null
  devices: number | null
  commands_per_s: number | null
  interventions: number | null // of the guard, since the start
  speed: number | null // plant seconds per second of wall time
}

export interface Dispatch {
  enabled: boolean
  strategy: string
  target_kw: number | null
  schedule?: unknown
}

/** Setting is what PUT /api/v1/dispatch takes. */
export interface Setting {
  enabled: boolean
  strategy: string
  target_kw: number
}

export interface Score {
  metric: string
  stat: string
  value: number | null
  unit: string
  limit: string
  pass: boolean | null
}

export type Severity = 'info' | 'warning' | 'critical'

export interface PlantEvent {
  eventId: string
  deviceId?: string
  eventType: string
  severity: Severity
  description: string
  timestamp: number
}

export interface Ack {
  commandId: string
  status: 'done' | 'rejected' | 'expired' | 'failed'
  reason: string
  timestamp: number
}

export interface Snapshot {
  time: number
  fleet: Fleet | null
  devices: DeviceReading[] | null
  dispatch: Dispatch | null
  scores: Score[] | null
  events: PlantEvent[] | null
}

/** Frame is one message of the WebSocket. */
export type Frame =
  | { type: 'snapshot'; data: Snapshot }
  | { type: 'state'; data: Fleet }
  | { type: 'reading'; deviceId: string; data: Reading }
  | { type: 'readings'; data: DeviceReading[] }
  | { type: 'event'; deviceId?: string; data: PlantEvent }
  | { type: 'ack'; deviceId: string; data: Ack }
  | { type: 'score'; data: Score[] }

export type Priority = 'low' | 'normal' | 'high'

/** Simple are the commands without parameters. */
export type Simple = 'stop' | 'release' | 'eStop' | 'reset' | 'arm' | 'disarm'

export type Command =
  | { command: 'setPower'; parameters: { power: number; duration: number; priority: Priority } }
  | { command: Simple; parameters: Record<string, never> }

/** Answer is what the plant says to a command: SUCCESS once the device has
 * acknowledged, ACCEPTED while that is open. */
export interface Answer {
  code: string
}
