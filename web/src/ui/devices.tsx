import { signal } from '@preact/signals'
import { useEffect, useRef, useState } from 'preact/hooks'
import { duration, none, number, signed } from '../lib/format.ts'
import { matcher, type Row, selected, type Show, sorted, type SortKey } from '../lib/rows.ts'
import { attention, changed, clock, epoch, fleet, rows, stale, wall } from '../state/plant.ts'
import { opened } from '../state/session.ts'
import { lang, t, word } from '../state/settings.ts'
import { LevelBar, SwingBar } from './bar.tsx'
import { Mark } from './mark.tsx'

export const show = signal<Show>('all')
const filter = signal('')
const order = signal<{ by: SortKey; descending: boolean }>({ by: 'id', descending: false })

const columns: SortKey[] = ['id', 'kind', 'state', 'status', 'power', 'soc', 'voltage', 'current', 'temperature', 'age', 'quality']
const states = ['configured', 'inactive', 'active', 'failed']
const statuses = ['charging', 'discharging', 'idle', 'standby', 'fault', 'offline', 'maintenance']
// What a row says of itself rarely changes; the other columns move all the time.
const steady: SortKey[] = ['id', 'kind', 'state']
const overscan = 6
const reorderMs = 2000

/** arrange filters and sorts all rows. */
function arrange(): Row[] {
  const named = matcher(filter.value)
  const kept: Row[] = []
  for (const row of rows.values()) if (named(row.id) && selected(row, show.value, attention(row))) kept.push(row)
  return sorted(kept, order.value.by, order.value.descending)
}

/** useOrder is the rows in order. Live values would make rows jump from under
 * the pointer, so the order is made anew at most every two seconds, and not
 * while the reader is at the table. */
function useOrder(held: boolean): Row[] {
  const list = useRef<Row[]>([])
  const made = useRef({ at: 0, asked: '', rows: 0 })
  const asked = `${epoch} ${order.value.by} ${order.value.descending} ${show.value} ${filter.value}`
  const due = wall.value - made.current.at >= reorderMs && (!held || steady.includes(order.value.by) && show.value === 'all')
  if (due || made.current.asked !== asked || made.current.rows !== rows.size) {
    list.current = arrange()
    made.current = { at: wall.value, asked, rows: rows.size }
  }
  return list.current
}

export function Devices() {
  void changed.value
  const scroller = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  const [height, setHeight] = useState(400)
  const [rowHeight, setRowHeight] = useState(28)
  const [active, setActive] = useState('')
  const [pointing, setPointing] = useState(false)
  const [focused, setFocused] = useState(false)
  const held = pointing || focused
  const list = useOrder(held)

  useEffect(() => {
    const box = scroller.current!
    const coarse = matchMedia('(pointer: coarse)')
    const measure = () => {
      setHeight(box.clientHeight)
      setRowHeight(coarse.matches ? 40 : 28)
    }
    const observer = new ResizeObserver(measure)
    observer.observe(box)
    coarse.addEventListener('change', measure)
    return () => {
      observer.disconnect()
      coarse.removeEventListener('change', measure)
    }
  }, [])

  const first = Math.max(0, Math.min(Math.floor(top / rowHeight) - overscan, list.length - 1))
  const last = Math.min(list.length, Math.ceil((top + height) / rowHeight) + overscan)

  const go = (index: number) => {
    const at = Math.max(0, Math.min(list.length - 1, index))
    const row = list[at]
    const box = scroller.current
    if (row === undefined || box === null) return
    setActive(row.id)
    const head = box.querySelector('thead')?.offsetHeight ?? 0
    const y = at * rowHeight
    if (y < box.scrollTop) box.scrollTop = y
    else if (y + rowHeight > box.scrollTop + box.clientHeight - head) box.scrollTop = y + rowHeight - box.clientHeight + head
  }
  const press = (e: KeyboardEvent) => {
    if (e.target !== e.currentTarget) return
    const at = list.findIndex((r) => r.id === active)
    const page = Math.max(1, Math.floor(height / rowHeight) - 2)
    const moves: Record<string, number> = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: list.length - 1,
    }
    const move = moves[e.key]
    if (move !== undefined) go(move)
    else if ((e.key === 'Enter' || e.key === ' ') && at >= 0) opened.value = active
    else return
    e.preventDefault()
  }
  // The widest bar when a device's rating is not known.
  let most = 1
  for (const row of list) most = Math.max(most, Math.abs(row.reading?.data.power ?? 0))

  return (
    <section class="panel devices-panel" aria-labelledby="devices-title">
      <header>
        <h2 id="devices-title">{t('devices.title')}</h2>
        <span class="count" role="status">{t('devices.count', { shown: number(list.length, 0, lang.value), total: number(rows.size, 0, lang.value) })}</span>
        {held && !steady.includes(order.value.by) && <span class="hint held">{t('devices.held')}</span>}
        <Filters />
      </header>
      <div class="scroll" ref={scroller} onScroll={(e) => setTop(e.currentTarget.scrollTop)}>
        <table id="devices" class="devices" role="grid" tabIndex={0} aria-labelledby="devices-title" aria-describedby="devices-keys"
          aria-rowcount={list.length + 1} aria-activedescendant={active === '' ? undefined : `row-${active}`}
          onKeyDown={press} onFocus={(e) => { if (e.target === e.currentTarget) { setFocused(true); if (active === '') go(first) } }}
          onBlur={() => setFocused(false)} style={{ '--row': `${rowHeight}px` }}>
          <Head />
          <tbody onPointerEnter={(e) => setPointing(e.pointerType === 'mouse')} onPointerLeave={() => setPointing(false)}>
            <tr class="spacer" aria-hidden="true" style={{ height: `${first * rowHeight}px` }} />
            {list.slice(first, last).map((row, i) => (
              <DeviceRow key={row.id} row={row} index={first + i} active={row.id === active} most={most}
                onOpen={() => { setActive(row.id); opened.value = row.id }} />
            ))}
            <tr class="spacer" aria-hidden="true" style={{ height: `${(list.length - last) * rowHeight}px` }} />
          </tbody>
        </table>
        {list.length === 0 && fleet.value !== null && (
          <p class="empty">
            {rows.size === 0 ? t('devices.empty') : t('devices.none')}
            {rows.size > 0 && <> <button type="button" class="link" onClick={() => { filter.value = ''; show.value = 'all' }}>{t('devices.clear')}</button></>}
          </p>
        )}
      </div>
      <p id="devices-keys" class="unseen">{t('devices.keys')}</p>
    </section>
  )
}

function Filters() {
  return (
    <div class="filters">
      <input type="search" aria-label={t('devices.filter')} placeholder={t('devices.filter')} title={t('devices.filter.hint')}
        value={filter.value} onInput={(e) => (filter.value = e.currentTarget.value)} spellcheck={false} autocomplete="off" />
      <select aria-label={t('devices.show')} value={show.value} onChange={(e) => (show.value = e.currentTarget.value as Show)}>
        <option value="all">{t('devices.show.all')}</option>
        <option value="abnormal">{t('devices.show.abnormal')}</option>
        <optgroup label={t('devices.show.statuses')}>
          {statuses.map((s) => <option key={s} value={`status:${s}`}>{word('status', s)}</option>)}
        </optgroup>
        <optgroup label={t('devices.show.states')}>
          {states.map((s) => <option key={s} value={`state:${s}`}>{word('state', s)}</option>)}
        </optgroup>
      </select>
    </div>
  )
}

function Head() {
  const { by, descending } = order.value
  return (
    <thead>
      <tr aria-rowindex={1}>
        {columns.map((c) => (
          <th key={c} scope="col" class={`c-${c}`} aria-sort={by !== c ? 'none' : descending ? 'descending' : 'ascending'}>
            <button type="button" onClick={() => (order.value = { by: c, descending: by === c && !descending })}>
              {t(`column.${c}`)}<span class="arrow" aria-hidden="true">{by !== c ? '' : descending ? '▾' : '▴'}</span>
            </button>
          </th>
        ))}
      </tr>
    </thead>
  )
}

function DeviceRow({ row, index, active, most, onOpen }: {
  row: Row
  index: number
  active: boolean
  most: number
  onOpen: () => void
}) {
  const { id, device, reading } = row
  const l = lang.value
  const old = stale(row)
  const severity = attention(row)
  const v = reading?.data
  const rated = device?.ratedKw || most
  return (
    <tr id={`row-${id}`} aria-rowindex={index + 2} aria-selected={active}
      class={`${index % 2 ? 'odd' : ''} ${old ? 'stale' : ''} ${id === opened.value ? 'opened' : ''}`} onClick={onOpen}>
      <td class="c-id">{severity === 'normal' ? <span class="mark" /> : <Mark level={severity} />}<span class="name">{id}</span></td>
      <td class="c-kind">{device?.kind ?? none}</td>
      <td class={`c-state ${device?.state === 'failed' ? 'abnormal' : ''}`}>{device ? word('state', device.state) : none}</td>
      <td class={`c-status ${v && ['fault', 'offline'].includes(v.status) ? 'abnormal' : ''}`}>{v ? word('status', v.status) : none}</td>
      <td class="c-power"><span class="measure"><SwingBar value={v?.power ?? null} min={-rated} max={rated} /><span class="digits">{signed(v?.power, 1, l)}</span></span></td>
      <td class="c-soc"><span class="measure"><LevelBar value={v?.soc ?? null} max={100} /><span class="digits">{number(v?.soc, 1, l)}</span></span></td>
      <td class="c-voltage digits">{number(v?.voltage, 1, l)}</td>
      <td class="c-current digits">{signed(v?.current, 1, l)}</td>
      <td class="c-temperature digits">{number(v?.temperature, 1, l)}</td>
      <td class="c-age digits">{reading ? duration(clock.age(reading.timestamp, wall.value)) : none}</td>
      <td class="c-quality" title={reading?.flags?.map((flag) => word('flag', flag)).join(', ') ?? ''}><QualityText row={row} old={old} /></td>
    </tr>
  )
}

/** QualityText is the quality of a row's reading with its flags. */
export function QualityText({ row, old }: { row: Row; old: boolean }) {
  const { reading } = row
  if (reading === null) return <>{t('quality.never')}</>
  const flags = [...(reading.flags ?? [])].sort((a, b) => Number(a === 'simulated') - Number(b === 'simulated'))
  return (
    <>
      <span class={reading.quality === 'good' ? '' : 'abnormal'}>{word('quality', reading.quality)}</span>
      {old && <span class="abnormal"> · {t('quality.stale')}</span>}
      {flags.map((flag) => <span key={flag} class={`flag ${flag === 'simulated' ? 'mild' : ''}`}>{word('flag', flag)}</span>)}
    </>
  )
}
