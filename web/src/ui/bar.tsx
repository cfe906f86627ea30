const clamp = (x: number) => Math.min(1, Math.max(0, x))

/** LevelBar shows value in 0..max, from the left. */
export function LevelBar({ value, max }: { value: number | null; max: number }) {
  return (
    <span class="bar" aria-hidden="true">
      {value !== null && <span class="fill" style={{ width: `${clamp(value / max) * 100}%` }} />}
    </span>
  )
}

/** SwingBar shows value between min ≤ 0 and max ≥ 0 as a bar from zero, with a
 * tick at target. */
export function SwingBar({ value, min, max, target = null }: {
  value: number | null
  min: number
  max: number
  target?: number | null
}) {
  const span = max - min
  if (!(span > 0)) return <span class="bar" aria-hidden="true" />
  const at = (x: number) => clamp((x - min) / span) * 100
  const zero = at(0)
  return (
    <span class="bar" aria-hidden="true">
      {value !== null && (
        <span class="fill" style={{ left: `${Math.min(zero, at(value))}%`, width: `${Math.abs(at(value) - zero)}%` }} />
      )}
      <span class="zero" style={{ left: `${zero}%` }} />
      {target !== null && <span class="tick" style={{ left: `${at(target)}%` }} />}
    </span>
  )
}
