/** none stands for a value that is not known. */
export const none = '–'

const numbers = new Map<string, Intl.NumberFormat>()

/** number has a fixed count of digits after the point, grouped thousands and a
 * true minus sign; what rounds to zero has no sign. */
export function number(value: number | null | undefined, digits: number, lang: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return none
  const key = `${lang}/${digits}`
  let format = numbers.get(key)
  if (format === undefined) {
    format = new Intl.NumberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits })
    numbers.set(key, format)
  }
  const text = format.format(Math.abs(value))
  const negative = value < 0 && /[1-9]/.test(text)
  return negative ? '−' + text : text
}

/** signed is number with a plus where the value is positive. */
export function signed(value: number | null | undefined, digits: number, lang: string): string {
  const text = number(value, digits, lang)
  return value !== null && value !== undefined && value > 0 && /[1-9]/.test(text) ? '+' + text : text
}

/** compact has as many digits as its size asks for: for values of unknown scale. */
export function compact(value: number | null | undefined, lang: string): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return none
  const size = Math.abs(value)
  return number(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 || size === 0 ? 2 : 4, lang)
}

/** duration of ms in the largest fitting unit, SI symbols in every language. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return none
  const s = Math.max(0, ms) / 1000
  if (s < 10) return `${s.toFixed(1)} s`
  if (s < 120) return `${Math.floor(s)} s`
  if (s < 7200) return `${Math.floor(s / 60)} min`
  if (s < 172800) return `${Math.floor(s / 3600)} h`
  return `${Math.floor(s / 86400)} d`
}

const two = (n: number) => String(n).padStart(2, '0')

/** time of day, local: 14:05:09. */
export function time(ms: number): string {
  const d = new Date(ms)
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
}

/** date, local, ISO order: 2026-01-31. */
export function date(ms: number): string {
  const d = new Date(ms)
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`
}

/** zone of the browser at ms, as an offset: UTC+08:00. */
export function zone(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset()
  if (minutes === 0) return 'UTC'
  const size = Math.abs(minutes)
  return `UTC${minutes < 0 ? '−' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
}
