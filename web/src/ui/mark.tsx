import { word } from '../state/settings.ts'

/** Mark is the sign of a severity: a shape besides the colour, and a word for
 * those who hear the page. */
export function Mark({ level }: { level: string }) {
  const label = word('severity', level)
  switch (level) {
    case 'critical':
      return (
        <svg class="mark critical" viewBox="0 0 12 12" role="img" aria-label={label}>
          <path d="M6 .8 11.6 11H.4z" /><path class="sign" d="M6 4.4v3.2M6 8.9v1" />
        </svg>
      )
    case 'warning':
      return (
        <svg class="mark warning" viewBox="0 0 12 12" role="img" aria-label={label}>
          <path d="M6 .3 11.7 6 6 11.7.3 6z" /><path class="sign" d="M6 3.2v3.4M6 7.9v1" />
        </svg>
      )
    default:
      return (
        <svg class="mark info" viewBox="0 0 12 12" role="img" aria-label={label}>
          <circle cx="6" cy="6" r="4.4" />
        </svg>
      )
  }
}
