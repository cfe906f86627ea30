import { t } from '../state/settings.ts'

/** Setpoint is a power as people say it: a direction and an amount in kW. The
 * sign is made here, so that nobody types one. */
export interface Setpoint {
  charge: boolean
  amount: string
}

/** power is the setpoint in kW, positive charging; NaN unless it is a number ≥ 0. */
export function power(s: Setpoint): number {
  const amount = s.amount.trim() === '' ? NaN : Number(s.amount)
  if (!(amount >= 0) || !Number.isFinite(amount)) return NaN
  return amount === 0 ? 0 : s.charge ? amount : -amount
}

/** setpoint is the inverse of power. */
export function setpoint(kw: number | null): Setpoint {
  return { charge: (kw ?? 0) > 0, amount: kw === null ? '' : String(Math.abs(kw)) }
}

export function SetpointFields({ id, label, value, max, onChange }: {
  id: string
  label: string
  value: Setpoint
  max?: number | null | undefined
  onChange: (value: Setpoint) => void
}) {
  const direction = (charge: boolean) => (
    <label class="option">
      <input type="radio" name={`${id}-direction`} checked={value.charge === charge} onChange={() => onChange({ ...value, charge })} />
      <span>{t(charge ? 'command.charge' : 'command.discharge')}</span>
    </label>
  )
  return (
    <>
      <fieldset class="direction">
        <legend class="unseen">{t('command.direction')}</legend>
        {direction(true)}
        {direction(false)}
      </fieldset>
      <div class="field">
        <label for={`${id}-amount`}>{label}</label>
        <input id={`${id}-amount`} type="number" inputMode="decimal" required min="0" step="any" {...(max ? { max: String(max) } : {})}
          value={value.amount} onInput={(e) => onChange({ ...value, amount: e.currentTarget.value })} />
      </div>
    </>
  )
}
