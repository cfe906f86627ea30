// What the reader of the page has chosen: language and theme, kept in the
// browser, and the texts in that language.
import { computed, effect, signal } from '@preact/signals'
import { en, type Key } from '../i18n/en.ts'
import { fill } from '../i18n/fill.ts'
import { zh } from '../i18n/zh.ts'

export type Lang = 'en' | 'zh-CN'
export type Theme = 'auto' | 'light' | 'dark'

function stored<T extends string>(key: string, allowed: readonly T[]): T | null {
  const value = localStorage.getItem(key)
  return allowed.includes(value as T) ? (value as T) : null
}

export const lang = signal<Lang>(
  stored('yunchu.lang', ['en', 'zh-CN'] as const) ?? (navigator.language.startsWith('zh') ? 'zh-CN' : 'en'))

export const theme = signal<Theme>(stored('yunchu.theme', ['auto', 'light', 'dark'] as const) ?? 'auto')

const darkSystem = matchMedia('(prefers-color-scheme: dark)')
const systemIsDark = signal(darkSystem.matches)
darkSystem.addEventListener('change', (e) => (systemIsDark.value = e.matches))

/** shade is the theme in force. */
export const shade = computed<'light' | 'dark'>(() =>
  theme.value === 'auto' ? (systemIsDark.value ? 'dark' : 'light') : theme.value)

effect(() => {
  document.documentElement.lang = lang.value
  localStorage.setItem('yunchu.lang', lang.value)
})
effect(() => {
  document.documentElement.dataset.theme = shade.value
  localStorage.setItem('yunchu.theme', theme.value)
})

/** t is a text in the chosen language. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return fill((lang.value === 'en' ? en : zh)[key], values)
}

/** word translates a word of the plant's vocabulary, such as a status; words
 * that the page does not know are shown as they came. */
export function word(kind: 'status' | 'state' | 'quality' | 'flag' | 'severity' | 'strategy' | 'role' | 'bound', value: string): string {
  const key = `${kind}.${value}`
  return key in en ? t(key as Key) : value
}
