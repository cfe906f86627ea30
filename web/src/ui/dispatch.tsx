import { useState } from 'preact/hooks'
import { none, number, signed, time } from '../lib/format.ts'
import { reasonOf } from '../state/commands.ts'
import { dispatch, fleet } from '../state/plant.ts'
import { client, dispatchFault, mayCommand, mayConfigure } from '../state/session.ts'
import { lang, t, word } from '../state/settings.ts'
import { ask } from './confirm.tsx'
import { Mark } from './mark.tsx'
import { power, setpoint, SetpointFields } from './setpoint.tsx'

const strategies = ['proportional', 'soc-balancing', 'cost', 'time-to-go']

export function DispatchPanel() {
  const [editing, setEditing] = useState(false)
  const [answer, setAnswer] = useState<{ ok: boolean; text: string } | null>(null)
  const d = dispatch.value
  const target = d?.target_kw ?? fleet.value?.target_kw ?? null
  return (
    <section class="panel dispatch-panel" aria-labelledby="dispatch-title">
      <header>
        <h2 id="dispatch-title">{t('dispatch.title')}</h2>
        {d && mayCommand.value && !editing && (
          <button type="button" onClick={() => { setEditing(true); setAnswer(null) }}>{t('dispatch.change')}</button>
        )}
      </header>
      {d === null
        ? <p class="empty">{dispatchFault.value === '' ? none : t('dispatch.unknown', { reason: dispatchFault.value })}</p>
        : (
          <dl class="facts">
            <div><dt>{t('dispatch.enabled')}</dt><dd class={d.enabled ? '' : 'strong'}>{!d.enabled && <Mark level="warning" />} {t(d.enabled ? 'dispatch.on' : 'dispatch.off')}</dd></div>
            <div><dt>{t('dispatch.strategy')}</dt><dd>{word('strategy', d.strategy)}</dd></div>
            <div><dt>{t('dispatch.target')}</dt><dd>{target === null ? none : `${signed(target, 0, lang.value)} kW`}</dd></div>
            {d.schedule ? <div><dt class="unseen">{t('dispatch.schedule')}</dt><dd>{t('dispatch.schedule')}</dd></div> : null}
          </dl>
        )}
      {d && editing && <Change onDone={(a) => { setEditing(false); setAnswer(a) }} />}
      {answer && <p class="notice" role="status">{!answer.ok && <Mark level="warning" />} {answer.text}</p>}
    </section>
  )
}

// Change is open only while dispatch is known; what it starts from is what held
// when it was opened.
function Change({ onDone }: { onDone: (answer: { ok: boolean; text: string } | null) => void }) {
  const before = dispatch.value!
  const [target, setTarget] = useState(setpoint(before.target_kw ?? fleet.value?.target_kw ?? null))
  const [strategy, setStrategy] = useState(before.strategy)
  const [enabled, setEnabled] = useState(before.enabled)
  const [busy, setBusy] = useState(false)

  const submit = async (e: Event) => {
    e.preventDefault()
    const kw = power(target)
    if (Number.isNaN(kw)) return
    const kind = kw === 0 ? 'zero' : kw > 0 ? 'charge' : 'discharge'
    const text = t(`dispatch.confirm.${kind}`, {
      power: number(Math.abs(kw), 1, lang.value),
      strategy: word('strategy', strategy),
      enabled: t(enabled ? 'dispatch.on' : 'dispatch.off'),
    })
    if (!(await ask(before.schedule ? `${text} ${t('dispatch.confirm.schedule')}` : text))) return
    setBusy(true)
    try {
      await client.value.setDispatch({ enabled, strategy, target_kw: kw })
      dispatch.value = await client.value.dispatch()
      onDone({ ok: true, text: t('dispatch.done', { time: time(Date.now()) }) })
    } catch (err) {
      onDone({ ok: false, text: t('dispatch.refused', { reason: reasonOf(err) }) })
    } finally {
      setBusy(false)
    }
  }

  return (
    <form class="command" onSubmit={submit}>
      <SetpointFields id="dispatch" label={t('dispatch.newTarget')} value={target} onChange={setTarget} />
      {mayConfigure.value && (
        <>
          <div class="field">
            <label for="dispatch-strategy">{t('dispatch.strategy')}</label>
            <select id="dispatch-strategy" value={strategy} onChange={(e) => setStrategy(e.currentTarget.value)}>
              {[...new Set([...strategies, before.strategy])].map((s) => <option key={s} value={s}>{word('strategy', s)}</option>)}
            </select>
          </div>
          <label class="check">
            <input type="checkbox" checked={enabled} onChange={(e) => setEnabled(e.currentTarget.checked)} /> {t('dispatch.enabled')}
          </label>
        </>
      )}
      <div class="buttons">
        <button type="button" onClick={() => onDone(null)}>{t('dispatch.cancel')}</button>
        <button type="submit" class="primary" disabled={busy || Number.isNaN(power(target))}>{t('dispatch.apply')}</button>
      </div>
    </form>
  )
}
