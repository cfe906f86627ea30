import { signal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useMemo } from 'preact/hooks'
import { date, number, time } from '../lib/format.ts'
import { fleet, samples } from '../state/plant.ts'
import { lang, t } from '../state/settings.ts'
import { type Band, Chart, type Trace } from './chart.tsx'

const spans = [5, 15, 60] // minutes of watching: one sample a second
const span = signal(5)
const tableRows = 60

/** SpanPicker sets how much both charts show. */
function SpanPicker() {
  return (
    <div class="segments" role="group" aria-label={t('chart.span')}>
      {spans.map((m) => (
        <button key={m} type="button" aria-pressed={span.value === m} onClick={() => (span.value = m)}>
          {t('chart.span.minutes', { count: m })}
        </button>
      ))}
    </div>
  )
}

interface FleetChartProps {
  id: string
  title: string
  unit: string
  digits: number
  keys: (typeof samples.keys)[number][]
  traces: Trace[]
  bands: Band[]
  range?: [number, number]
  zero?: boolean
  tabled: boolean
  controls?: ComponentChildren
  onTable: () => void
}

function FleetChart({ id, title, keys, tabled, controls, onTable, ...rest }: FleetChartProps) {
  const latest = fleet.value
  const { times, columns } = useMemo(() => samples.window(span.value * 60), [latest, span.value])
  const chosen = keys.map((key) => columns[key])
  return (
    <section class="panel chart-panel" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title} <span class="unit">{rest.unit}</span></h2>
        {controls}
        <button type="button" class="quiet" aria-pressed={tabled} title={t('chart.table.hint')} onClick={onTable}>
          {t('chart.table')}
        </button>
      </header>
      {tabled
        ? <SampleTable times={times} columns={chosen} traces={rest.traces} unit={rest.unit} />
        : <Chart label={title} times={times} columns={chosen} {...rest} />}
    </section>
  )
}

function SampleTable({ times, columns, traces, unit }: {
  times: number[]
  columns: (number | null)[][]
  traces: Trace[]
  unit: string
}) {
  const newest = times.map((_, i) => i).slice(-tableRows).reverse()
  return (
    <div class="scroll" tabIndex={0}>
      <table class="plain numbers">
        <thead>
          <tr><th scope="col">{t('chart.time')}</th>{traces.map((trace) => <th key={trace.label} scope="col">{trace.label} {unit}</th>)}</tr>
        </thead>
        <tbody>
          {newest.map((i) => (
            <tr key={times[i]}>
              <th scope="row" title={date(times[i]! * 1000)}>{time(times[i]! * 1000)}</th>
              {columns.map((column, c) => <td key={c}>{number(column[i], 1, lang.value)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const limits = signal(true)
const limitKeys = ['available_discharge_kw', 'available_charge_kw'] as const

/** Limits shows the available power, or leaves the scale to power and target. */
function Limits() {
  return (
    <button type="button" class="quiet" aria-pressed={limits.value} title={t('chart.limits.hint')} onClick={() => (limits.value = !limits.value)}>
      {t('chart.limits')}
    </button>
  )
}

const powerTabled = signal(false)
const socTabled = signal(false)

export function PowerChart() {
  return (
    <FleetChart id="chart-power" title={t('chart.power')} unit="kW" digits={0} zero={limits.value} key={String(limits.value)}
      controls={<><SpanPicker /><Limits /></>}
      tabled={powerTabled.value} onTable={() => (powerTabled.value = !powerTabled.value)}
      keys={[...(limits.value ? limitKeys : []), 'target_kw', 'power_kw']}
      traces={[
        ...(limits.value ? [
          { label: t('chart.series.discharge'), color: '--trace-edge', width: 1, edge: true },
          { label: t('chart.series.charge'), color: '--trace-edge', width: 1, edge: true },
        ] : []),
        { label: t('chart.series.target'), color: '--trace-target', width: 1.5, dash: [6, 4] },
        { label: t('chart.series.power'), color: '--trace', width: 2 },
      ]}
      bands={limits.value ? [{ upper: 1, lower: 0, color: '--band' }] : []} />
  )
}

export function SocChart() {
  return (
    <FleetChart id="chart-soc" title={t('chart.soc')} unit="%" digits={1} range={[0, 100]}
      tabled={socTabled.value} onTable={() => (socTabled.value = !socTabled.value)}
      keys={['soc_min_percent', 'soc_p5_percent', 'soc_mean_percent', 'soc_p95_percent', 'soc_max_percent']}
      traces={[
        { label: t('chart.series.min'), color: '--trace-edge', width: 1, edge: true },
        { label: t('chart.series.p5'), color: '--trace-soft', width: 1, edge: true },
        { label: t('chart.series.mean'), color: '--trace', width: 2 },
        { label: t('chart.series.p95'), color: '--trace-soft', width: 1, edge: true },
        { label: t('chart.series.max'), color: '--trace-edge', width: 1, edge: true },
      ]}
      bands={[{ upper: 4, lower: 0, color: '--band' }, { upper: 3, lower: 1, color: '--band' }]} />
  )
}
