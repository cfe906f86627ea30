import type { Device, Reading } from '../api/types.ts'

/** Row is one device of the table: what is registered and what it last said. */
export interface Row {
  id: string
  device: Device | null
  reading: Reading | null
}

export type Level = 'critical' | 'warning' | 'normal'

/** level is how much attention a row asks for. A simulated reading is marked,
 * yet normal. */
export function level(row: Row, stale: boolean): Level {
  const { device, reading } = row
  if (device?.state === 'failed' || reading?.data.status === 'fault' || reading?.quality === 'bad') return 'critical'
  if (reading === null || stale || reading.quality !== 'good' || reading.data.status === 'offline') return 'warning'
  if (reading.flags?.some((flag) => flag !== 'simulated')) return 'warning'
  return 'normal'
}

/** Show selects rows: all, those that ask for attention, or those of one state
 * or status, written as "state:active" or "status:charging". */
export type Show = 'all' | 'abnormal' | `state:${string}` | `status:${string}`

/** matcher tests ids against text: a glob if it has * or ?, otherwise any part
 * of the id; case is ignored. */
export function matcher(text: string): (id: string) => boolean {
  const needle = text.trim().toLowerCase()
  if (needle === '') return () => true
  if (!/[*?]/.test(needle)) return (id) => id.toLowerCase().includes(needle)
  const pattern = needle.replace(/[.+^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.')
  const glob = new RegExp(`^${pattern}$`, 'i')
  return (id) => glob.test(id)
}

export function selected(row: Row, show: Show, level: Level): boolean {
  if (show === 'all') return true
  if (show === 'abnormal') return level !== 'normal'
  if (show.startsWith('state:')) return row.device?.state === show.slice(6)
  return row.reading?.data.status === show.slice(7)
}

export type SortKey =
  | 'id' | 'kind' | 'state' | 'status' | 'power' | 'soc' | 'voltage' | 'current' | 'temperature' | 'age' | 'quality'

const qualityOrder: Record<string, number> = { bad: 0, suspect: 1, good: 2 }

function key(row: Row, by: SortKey): string | number | null {
  const { device, reading } = row
  switch (by) {
    case 'id': return row.id
    case 'kind': return device?.kind ?? null
    case 'state': return device?.state ?? null
    case 'status': return reading?.data.status ?? null
    case 'age': return reading === null ? null : -reading.timestamp
    case 'quality': return reading === null ? null : (qualityOrder[reading.quality] ?? 1)
    default: return reading?.data[by] ?? null
  }
}

/** sorted is a new array in the order of a column; equal rows follow their ids,
 * rows without a value come last in both directions. */
export function sorted(rows: readonly Row[], by: SortKey, descending: boolean): Row[] {
  const sign = descending ? -1 : 1
  const keyed = rows.map((row) => ({ row, key: key(row, by) }))
  keyed.sort((a, b) => {
    if (a.key !== b.key) {
      if (a.key === null) return 1
      if (b.key === null) return -1
      if (a.key < b.key) return -sign
      if (a.key > b.key) return sign
    }
    const order = a.row.id < b.row.id ? -1 : a.row.id > b.row.id ? 1 : 0
    return by === 'id' ? sign * order : order
  })
  return keyed.map((entry) => entry.row)
}
