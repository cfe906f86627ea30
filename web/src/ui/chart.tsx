import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { date, number, time } from '../lib/format.ts'
import type { Column } from '../lib/series.ts'
import { lang, shade, t } from '../state/settings.ts'

/** Trace is one line of a chart; color names a custom property of the style sheet. */
export interface Trace {
  label: string
  color: string
  width?: number
  edge?: boolean // of a band: known by its place, so the legend needs no sample
  dash?: number[]
}

/** Band fills between two traces, given by their index. */
export interface Band {
  upper: number
  lower: number
  color: string
}

interface Props {
  label: string
  unit: string
  digits: number // after the point, in the legend
  times: number[] // seconds since 1970
  columns: Column[] // one per trace
  traces: Trace[]
  bands?: Band[]
  /** range of the vertical axis; without it the data decide, zero included if asked for. */
  range?: [number, number]
  zero?: boolean
  small?: boolean
}

const property = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const leastSpanS = 30

function verticalRange(range: [number, number] | undefined, zero: boolean | undefined): uPlot.Scale.Range {
  if (range) return range
  const side = (): uPlot.Range.Limit => (zero ? { pad: 0.08, soft: 0, mode: 1 } : { pad: 0.15, mode: 0 })
  return { min: side(), max: side() }
}

function options(props: Props, onCursor: (index: number | null) => void): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: () => property('--muted'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => property('--grid'), width: 1 },
    ticks: { stroke: () => property('--grid'), width: 1, size: 4 },
  }
  return {
    width: 300,
    height: 150,
    padding: [6, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false, setScale: false }, points: { size: 6 } },
    scales: {
      x: { range: (_, min, max) => [Math.min(min, max - leastSpanS), max] },
      y: { range: verticalRange(props.range, props.zero) },
    },
    axes: [
      {
        ...axis,
        size: 26,
        space: 70,
        values: (_, splits, __, ___, step) => splits.map((s) =>
          step >= 86400 ? date(s * 1000) : step >= 60 ? time(s * 1000).slice(0, 5) : time(s * 1000)),
      },
      {
        ...axis,
        size: (_, values) => 14 + 6.4 * Math.max(4, ...(values ?? []).map((v) => v.length)),
        space: props.small ? 22 : 32,
        values: (_, splits, __, ___, step) =>
          splits.map((v) => number(v, step >= 1 ? 0 : Math.ceil(-Math.log10(step) - 1e-9), lang.value)),
      },
    ],
    series: [
      {},
      ...props.traces.map((trace): uPlot.Series => ({
        label: trace.label,
        stroke: () => property(trace.color),
        width: trace.width ?? 1.5,
        ...(trace.dash && { dash: trace.dash }),
        points: { show: false },
      })),
    ],
    bands: (props.bands ?? []).map((band): uPlot.Band => ({
      series: [band.upper + 1, band.lower + 1],
      fill: () => property(band.color),
    })),
    hooks: { setCursor: [(u) => onCursor(u.cursor.idx ?? null)] },
  }
}

/** Chart draws traces over time, the last on top, with the values under the
 * pointer, or the newest ones, in its legend. What the axes and traces are is
 * settled when it is first shown; give another key to change it. */
export function Chart(props: Props) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [cursor, setCursor] = useState<number | null>(null)
  const { times, columns, traces } = props

  useEffect(() => {
    const within = box.current!
    const u = new uPlot(options(props, setCursor), [[], ...traces.map(() => [])], within)
    plot.current = u
    const resize = () => {
      const { clientWidth: width, clientHeight: height } = within
      if (width > 0 && height > 0) u.setSize({ width, height })
    }
    const observer = new ResizeObserver(resize)
    observer.observe(within)
    resize()
    return () => {
      observer.disconnect()
      u.destroy()
    }
  }, [])
  useEffect(() => plot.current?.setData([times, ...columns] as uPlot.AlignedData), [times])
  useEffect(() => plot.current?.redraw(), [shade.value, lang.value])

  const at = cursor !== null && cursor < times.length ? cursor : times.length - 1
  const entries = traces.map((trace, i) => ({ ...trace, value: number(columns[i]?.[at], props.digits, lang.value) }))
  return (
    <div class={`chart ${props.small ? 'small' : ''}`}>
      <dl class="legend">
        {entries.toReversed().map((e) => (
          <div key={e.label}>
            <dt>
              {!e.edge && (
                <svg class="swatch" viewBox="0 0 16 4" aria-hidden="true">
                  <line x1="0" y1="2" x2="16" y2="2" style={{ stroke: `var(${e.color})` }}
                    stroke-width={(e.width ?? 1.5) + 0.5} stroke-dasharray={e.dash?.map((d) => d * 0.7).join(' ')} />
                </svg>
              )}
              {e.label}
            </dt>
            <dd>{e.value}{props.small && <span class="unit"> {props.unit}</span>}</dd>
          </div>
        ))}
        {cursor !== null && at >= 0 && <div class="at"><dt class="unseen">{t('chart.time')}</dt><dd>{time(times[at]! * 1000)}</dd></div>}
      </dl>
      <div class="plot" ref={box} role="img"
        aria-label={`${props.label}: ${entries.map((e) => `${e.label} ${e.value} ${props.unit}`).join(', ')}`}>
        {times.length === 0 && <p class="waiting">{t('chart.waiting')}</p>}
      </div>
    </div>
  )
}
