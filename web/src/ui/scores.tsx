import { compact } from '../lib/format.ts'
import { scores } from '../state/plant.ts'
import { lang, t } from '../state/settings.ts'
import { Mark } from './mark.tsx'

// breakable lets a long name wrap after its dots and underscores.
function breakable(name: string) {
  return name.split(/(?<=[._])/).map((part, i) => i === 0 ? part : <><wbr />{part}</>)
}

/** Scores are those of the run that drives the plant; without one there is no panel. */
export function Scores() {
  if (scores.value.length === 0) return null
  return (
    <section class="panel scores-panel" aria-labelledby="scores-title">
      <header><h2 id="scores-title">{t('scores.title')}</h2></header>
      <div class="scroll" tabIndex={0} role="group" aria-labelledby="scores-title">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">{t('scores.metric')}</th>
              <th scope="col" class="number">{t('scores.value')}</th>
              <th scope="col" class="number">{t('scores.limit')}</th>
              <th scope="col"><span class="unseen">{t('scores.pass')}</span></th>
            </tr>
          </thead>
          <tbody>
            {scores.value.map((s) => (
              <tr key={`${s.metric} ${s.stat}`}>
                <th scope="row">{breakable(s.metric)} <span class="stat">{s.stat}</span></th>
                <td class="number">{compact(s.value, lang.value)}{s.unit && ` ${s.unit}`}</td>
                <td class="number limit">{s.limit}</td>
                <td class={s.pass === false ? 'verdict failed' : 'verdict'}>
                  {s.pass === false && <Mark level="critical" />}
                  {s.pass === null ? t('scores.pass.open') : s.pass ? `✓ ${t('scores.pass.yes')}` : t('scores.pass.no')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}
