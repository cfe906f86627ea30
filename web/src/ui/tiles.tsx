import type { ComponentChildren } from 'preact'
import { compact, none, number, signed } from '../lib/format.ts'
import { fleet, rows, samples, stale, wall } from '../state/plant.ts'
import { opened } from '../state/session.ts'
import { lang, t } from '../state/settings.ts'
import { LevelBar, SwingBar } from './bar.tsx'
import { show } from './devices.tsx'
import { Mark } from './mark.tsx'

interface TileProps {
  label: string
  value: string
  unit?: string
  level?: 'critical' | 'warning'
  bar?: ComponentChildren
  children?: ComponentChildren
}

function Tile({ label, value, unit, level, bar, children }: TileProps) {
  return (
    <div class={`tile ${level ?? ''}`}>
      <dt>{label}</dt>
      <dd>
        <span class="value">{level && <Mark level={level} />}{value}{unit && <span class="unit"> {unit}</span>}</span>
        {bar}
        <span class="sub">{children}</span>
      </dd>
    </div>
  )
}

// hottest is the device with the warmest cell among those that speak now.
function hottest(): string {
  let id = ''
  let most = -Infinity
  for (const row of rows.values()) {
    const c = row.reading?.data.temperature ?? null
    if (c !== null && c > most && !stale(row)) [id, most] = [row.id, c]
  }
  return id
}

// recentInterventions counts those within the last minute of watching.
function recentInterventions(): number {
  const { interventions } = samples.window(60).columns
  const known = interventions.filter((n) => n !== null)
  return known.length < 2 ? 0 : Math.max(0, known.at(-1)! - known[0]!)
}

// Below this a shortfall or an error is noise of the measurement.
const noticeableKw = 0.1

export function Tiles() {
  const f = fleet.value
  const l = lang.value
  void wall.value // staleness passes with time, not only with messages
  const power = f?.power_kw ?? null
  const target = f?.target_kw ?? null
  const charge = Math.abs(f?.available_charge_kw ?? 0)
  const discharge = Math.abs(f?.available_discharge_kw ?? 0)
  const shortfall = f?.shortfall_kw ?? null
  const short = shortfall !== null && Math.abs(shortfall) >= noticeableKw
  const online = f?.online ?? null
  const missing = f?.devices != null && online !== null ? f.devices - online : 0
  const hot = hottest()
  const recent = recentInterventions()
  const direction = power === null ? none
    : Math.abs(power) < noticeableKw ? t('power.idle')
    : power > 0 ? t('power.charging') : t('power.discharging')
  return (
    <dl class="tiles">
      <Tile label={t('tile.power')} value={signed(power, 0, l)} unit="kW"
        bar={<SwingBar value={power} min={-discharge} max={charge} target={target} />}>
        {direction}
      </Tile>
      <Tile label={t('tile.target')} value={target === null ? none : signed(target, 0, l)} unit="kW"
        bar={<SwingBar value={target} min={-discharge} max={charge} />}>
        {target === null || power === null ? t('tile.target.none') : t('tile.error', { value: signed(power - target, 1, l) })}
      </Tile>
      <Tile label={t('tile.shortfall')} value={number(shortfall, 1, l)} unit="kW" {...(short && { level: 'warning' })}>
        <span title={f?.reason ?? ''}>{short ? f?.reason : shortfall === null ? '' : t('tile.shortfall.none')}</span>
      </Tile>
      <Tile label={t('tile.online')} value={number(online, 0, l)} unit={`/ ${number(f?.devices, 0, l)}`}
        {...(missing > 0 && { level: 'warning' })}
        bar={<LevelBar value={online} max={f?.devices || 1} />}>
        {missing > 0
          ? <button type="button" class="link" onClick={() => (show.value = 'abnormal')}>{t('tile.online.missing', { count: missing })}</button>
          : f !== null && t('tile.online.all')}
      </Tile>
      <Tile label={t('tile.soc')} value={number(f?.soc_mean_percent, 1, l)} unit="%"
        bar={<LevelBar value={f?.soc_mean_percent ?? null} max={100} />}>
        {f && t('tile.soc.range', { min: number(f.soc_min_percent, 0, l), max: number(f.soc_max_percent, 0, l) })}
      </Tile>
      <Tile label={t('tile.temperature')} value={number(f?.temperature_max_c, 1, l)} unit="°C"
        bar={<LevelBar value={f?.temperature_max_c ?? null} max={60} />}>
        {hot !== '' && <button type="button" class="link" onClick={() => (opened.value = hot)}>{hot}</button>}
      </Tile>
      <Tile label={t('tile.interventions')} value={number(f?.interventions, 0, l)} {...(recent > 0 && { level: 'warning' })}>
        {recent > 0 ? t('tile.interventions.recent', { count: number(recent, 0, l) }) : f && t('tile.interventions.quiet')}
      </Tile>
      <Tile label={t('tile.commands')} value={compact(f?.commands_per_s, l)} unit="/s" />
    </dl>
  )
}
