import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { ComponentChildren } from 'preact'
import type { Limits, LimitValues, Values } from '../api/types.ts'
import { date, duration, none, number, signed, time } from '../lib/format.ts'
import type { Row } from '../lib/rows.ts'
import { Series } from '../lib/series.ts'
import { reasonOf } from '../state/commands.ts'
import { attention, changed, clock, events, fleet, link, rows, stale, wall } from '../state/plant.ts'
import { client, mayCommand, opened } from '../state/session.ts'
import { lang, t, word } from '../state/settings.ts'
import { LevelBar, SwingBar } from './bar.tsx'
import { Chart } from './chart.tsx'
import { CommandForm } from './command.tsx'
import { QualityText } from './devices.tsx'
import { EventList } from './events.tsx'
import { Mark } from './mark.tsx'

const minutes = 10
const fields = ['power', 'soc', 'temperature'] as const
const samplesKept = 5000

/** Faceplate is the drawer of one device. It leaves the rest of the page in
 * sight and in reach. */
export function Faceplate() {
  const id = opened.value
  return id === '' ? null : <Drawer key={id} id={id} />
}

function Drawer({ id }: { id: string }) {
  void changed.value
  const box = useRef<HTMLDivElement>(null)
  const row = rows.get(id)
  useEffect(() => {
    const before = document.activeElement
    box.current?.focus()
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  return (
    <div class="faceplate" ref={box} tabIndex={-1} role="dialog" aria-label={t('faceplate.title', { id })}
      onKeyDown={(e) => { if (e.key === 'Escape') opened.value = '' }}>
      <header>
        {row && attention(row) !== 'normal' && <Mark level={attention(row)} />}
        <h2>{id}</h2>
        <button type="button" class="quiet" onClick={() => (opened.value = '')} aria-label={t('faceplate.close')}>✕</button>
      </header>
      {row ? <Body row={row} /> : fleet.value !== null && <p class="empty">{t('faceplate.unknown')}</p>}
    </div>
  )
}

function Fact({ label, children }: { label: string; children: ComponentChildren }) {
  return <div><dt>{label}</dt><dd>{children}</dd></div>
}

function Body({ row }: { row: Row }) {
  const { id, device, reading } = row
  const l = lang.value
  const old = stale(row)
  const v = reading?.data
  const rated = device?.ratedKw || Math.max(1, Math.abs(v?.power ?? 0))
  const own = events.value.filter((e) => e.deviceId === id).slice(0, 20)
  const place = device?.location
  return (
    <div class="body" tabIndex={0} role="group" aria-label={id}>
      <section aria-label={t('faceplate.values')}>
        <dl class={`facts values ${old ? 'stale' : ''}`}>
          <Fact label={t('field.power')}><SwingBar value={v?.power ?? null} min={-rated} max={rated} /><b>{signed(v?.power, 1, l)}</b> kW</Fact>
          <Fact label={t('field.soc')}><LevelBar value={v?.soc ?? null} max={100} /><b>{number(v?.soc, 1, l)}</b> %</Fact>
          <Fact label={t('field.voltage')}><b>{number(v?.voltage, 1, l)}</b> V</Fact>
          <Fact label={t('field.current')}><b>{signed(v?.current, 1, l)}</b> A</Fact>
          <Fact label={t('field.temperature')}><b>{number(v?.temperature, 1, l)}</b> °C</Fact>
          {v?.soh != null && <Fact label={t('field.soh')}><b>{number(v.soh, 1, l)}</b> %</Fact>}
        </dl>
        <dl class="facts">
          <Fact label={t('field.status')}>{v ? word('status', v.status) : none}</Fact>
          <Fact label={t('field.state')}>{device ? word('state', device.state) : none}</Fact>
          <Fact label={t('field.quality')}><QualityText row={row} old={old} /></Fact>
          <Fact label={t('field.measured')}>
            {reading ? <><span title={date(reading.timestamp)}>{time(reading.timestamp)}</span> ({duration(clock.age(reading.timestamp, wall.value))})</> : none}
          </Fact>
        </dl>
      </section>
      {mayCommand.value && <CommandForm row={row} />}
      <History id={id} values={v ?? null} timestamp={reading?.timestamp ?? 0} />
      <Limited id={id} />
      <section aria-labelledby="device-events">
        <h3 id="device-events">{t('faceplate.events')}</h3>
        {own.length === 0 ? <p class="empty">{t('faceplate.events.none')}</p> : <EventList list={own} />}
      </section>
      {device && (
        <section aria-labelledby="nameplate">
          <h3 id="nameplate">{t('faceplate.nameplate')}</h3>
          <dl class="facts">
            <Fact label={t('field.rated')}>{number(device.ratedKw, 0, l)} kW</Fact>
            <Fact label={t('field.capacity')}>{number(device.capacityKwh, 0, l)} kWh</Fact>
            <Fact label={t('field.kind')}>{device.kind}</Fact>
            {device.deviceType && <Fact label={t('field.type')}>{device.deviceType}</Fact>}
            {device.manufacturer && <Fact label={t('field.manufacturer')}>{device.manufacturer}</Fact>}
            {device.model && <Fact label={t('field.model')}>{device.model}</Fact>}
            {place && (place.name || place.lat != null) && (
              <Fact label={t('field.location')}>{place.name ?? ''} {place.lat != null && place.lon != null && `${place.lat.toFixed(3)}, ${place.lon.toFixed(3)}`}</Fact>
            )}
          </dl>
        </section>
      )}
    </div>
  )
}

const limitKeys = ['cap_kw', 'ramp_kw_per_s', 'soc_percent', 'voltage_v', 'temperature_c'] as const
const limitUnits = { cap_kw: 'kW', ramp_kw_per_s: 'kW/s', soc_percent: '%', voltage_v: 'V', temperature_c: '°C' } as const
const limitsEvery = 2000

// Limited shows what the guard keeps a device to, and which limit binds it now.
function Limited({ id }: { id: string }) {
  const [limits, setLimits] = useState<Limits | null>(null)
  const [fault, setFault] = useState('')
  const live = fleet.value !== null && link.value.phase === 'live'
  const l = lang.value

  useEffect(() => {
    if (!live) return
    let gone = false
    const read = () => {
      client.value.limits(id).then(
        (told) => {
          if (gone) return
          setLimits(told)
          setFault('')
        },
        (err: unknown) => {
          if (!gone) setFault(reasonOf(err))
        },
      )
    }
    read()
    const timer = setInterval(read, limitsEvery)
    return () => {
      gone = true
      clearInterval(timer)
    }
  }, [id, live])

  const shown = (of: LimitValues, key: (typeof limitKeys)[number]) => {
    const v = of[key]
    if (v === undefined) return t('faceplate.limits.none')
    if (typeof v === 'number') return `${number(v, 1, l)} ${limitUnits[key]}`
    return key === 'voltage_v' && v[1] === 0 ? `≥ ${number(v[0], 1, l)} V` : `${number(v[0], 1, l)} – ${number(v[1], 1, l)} ${limitUnits[key]}`
  }
  const rows = limits === null ? [] : limitKeys.filter((key) => limits.acting[key] !== undefined || limits.set[key] !== undefined || limits.configured[key] !== undefined)
  const e = limits?.envelope
  return (
    <section aria-labelledby="device-limits">
      <h3 id="device-limits">{t('faceplate.limits')}</h3>
      {fault !== '' && <p class="empty">{t('faceplate.limits.failed', { reason: fault })}</p>}
      {e && (
        <dl class={`facts ${live ? '' : 'stale'}`}>
          <Fact label={t('faceplate.limits.now')}>
            <span class="envelope"><b>{signed(e.minKw, 1, l)}</b> kW ({t('faceplate.limits.by', { by: word('bound', e.minBy) })})</span>
            {' … '}
            <span class="envelope"><b>{signed(e.maxKw, 1, l)}</b> kW ({t('faceplate.limits.by', { by: word('bound', e.maxBy) })})</span>
          </Fact>
        </dl>
      )}
      {limits && rows.length > 0 && (
        <table class="limits">
          <thead>
            <tr>
              <th scope="col">{t('faceplate.limits.quantity')}</th>
              <th scope="col">{t('faceplate.limits.configured')}</th>
              <th scope="col">{t('faceplate.limits.set')}</th>
              <th scope="col">{t('faceplate.limits.acting')}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((key) => (
              <tr key={key}>
                <th scope="row">{t(`limit.${key}`)}</th>
                <td>{shown(limits.configured, key)}</td>
                <td>{shown(limits.set, key)}</td>
                <td>{shown(limits.acting, key)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

// History shows what the plant has stored of the last minutes and goes on from
// there with what arrives. It is read again after a lost connection.
function History({ id, values, timestamp }: { id: string; values: Values | null; timestamp: number }) {
  const series = useRef(new Series(fields, samplesKept))
  const [read, setRead] = useState(0)
  const [fault, setFault] = useState('')
  const known = fleet.value !== null && link.value.phase === 'live'

  useEffect(() => {
    if (!known) return
    let gone = false
    const now = clock.now(Date.now())
    client.value.history(id, now - minutes * 60_000, now + 1, [...fields]).then(
      (items) => {
        if (gone) return
        const stored = new Series(fields, samplesKept)
        for (const { timestamp: at, data } of items)
          stored.push(at / 1000, { power: data.power ?? null, soc: data.soc ?? null, temperature: data.temperature ?? null })
        series.current = stored
        setFault('')
        setRead((n) => n + 1)
      },
      (err: unknown) => {
        if (!gone) setFault(reasonOf(err))
      },
    )
    return () => {
      gone = true
    }
  }, [id, known])

  const { times, columns } = useMemo(() => {
    if (values && timestamp > 0)
      series.current.push(timestamp / 1000, { power: values.power, soc: values.soc, temperature: values.temperature })
    const { times, columns } = series.current.window(samplesKept)
    const from = times.findIndex((s) => s * 1000 >= timestamp - minutes * 60_000)
    return {
      times: times.slice(from),
      columns: { power: columns.power.slice(from), soc: columns.soc.slice(from), temperature: columns.temperature.slice(from) },
    }
  }, [timestamp, read])

  return (
    <section aria-labelledby="history-title">
      <h3 id="history-title">{t('faceplate.history', { minutes })}</h3>
      {fault !== '' && <p class="notice"><Mark level="warning" /> {t('faceplate.history.failed', { reason: fault })}</p>}
      <Chart small zero label={t('chart.series.power')} unit="kW" digits={1} times={times} columns={[columns.power]}
        traces={[{ label: t('chart.series.power'), color: '--trace', width: 1.5 }]} />
      <Chart small label={t('chart.series.soc')} unit="%" digits={1} times={times} columns={[columns.soc]}
        traces={[{ label: t('chart.series.soc'), color: '--trace', width: 1.5 }]} />
      <Chart small label={t('chart.series.temperature')} unit="°C" digits={1} times={times} columns={[columns.temperature]}
        traces={[{ label: t('chart.series.temperature'), color: '--trace', width: 1.5 }]} />
    </section>
  )
}
