import type { RefObject } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { Command, Priority, Simple } from '../api/types.ts'
import { number, signed, time } from '../lib/format.ts'
import type { Row } from '../lib/rows.ts'
import { send, sent, type Sent } from '../state/commands.ts'
import { client, mayConfigure } from '../state/session.ts'
import { lang, t } from '../state/settings.ts'
import { ask } from './confirm.tsx'
import { Mark } from './mark.tsx'
import { power, type Setpoint, SetpointFields } from './setpoint.tsx'

const priorities: Priority[] = ['low', 'normal', 'high']
const longestS = 86_400
/** Kinds of devices that act only once somebody has armed them. */
const wired = new Set(['modbus', 'sunspec', 'can', 'mms', 'mqtt', 'parts'])

/** CommandForm holds, releases or stops one device, each after a question. */
export function CommandForm({ row }: { row: Row }) {
  const { id } = row
  const [target, setTarget] = useState<Setpoint>({ charge: true, amount: '' })
  const outcome = useRef<HTMLLIElement>(null)
  const [duration, setDuration] = useState('60')
  const [priority, setPriority] = useState<Priority>('normal')

  const issue = async (question: string, command: Command) => {
    if (!(await ask(question))) return
    const done = send(client.value, id, command)
    requestAnimationFrame(() => outcome.current?.scrollIntoView({ block: 'nearest' }))
    await done
  }
  const hold = (e: Event) => {
    e.preventDefault()
    const kw = power(target)
    const seconds = Number(duration)
    if (Number.isNaN(kw) || !(seconds > 0)) return
    const kind = kw === 0 ? 'zero' : kw > 0 ? 'charge' : 'discharge'
    const question = t(`command.confirm.${kind}`, {
      id, power: number(Math.abs(kw), 1, lang.value), duration, priority: t(`command.priority.${priority}`),
    })
    void issue(question, { command: 'setPower', parameters: { power: kw, duration: seconds, priority } })
  }
  const simple = (command: Exclude<Simple, 'eStop'>) => void issue(t(`command.confirm.${command}`, { id }), { command, parameters: {} })
  // An emergency stop asks nobody back.
  const emergency = () => void send(client.value, id, { command: 'eStop', parameters: {} })

  return (
    <section aria-labelledby="command-title">
      <h3 id="command-title">{t('command.title')}</h3>
      {row.device && row.device.state !== 'active' && <p class="notice"><Mark level="warning" /> {t('faceplate.inactive')}</p>}
      <form class="command" onSubmit={hold}>
        <SetpointFields id="command" label={t('command.power')} value={target} max={row.device?.ratedKw} onChange={setTarget} />
        <div class="field">
          <label for="command-duration">{t('command.duration')}</label>
          <input id="command-duration" type="number" inputMode="numeric" required min="1" max={String(longestS)} step="1"
            value={duration} onInput={(e) => setDuration(e.currentTarget.value)} />
        </div>
        <div class="field">
          <label for="command-priority">{t('command.priority')}</label>
          <select id="command-priority" value={priority} onChange={(e) => setPriority(e.currentTarget.value as Priority)}>
            {priorities.map((p) => <option key={p} value={p}>{t(`command.priority.${p}`)}</option>)}
          </select>
        </div>
        <div class="buttons">
          <button type="button" class="stop" onClick={() => simple('stop')}>{t('command.stop')}</button>
          <button type="button" onClick={() => simple('release')}>{t('command.release')}</button>
          <button type="submit" class="primary" disabled={Number.isNaN(power(target))}>{t('command.hold')}</button>
        </div>
        <div class="buttons">
          <button type="button" class="stop" onClick={emergency}>{t('command.eStop')}</button>
          {mayConfigure.value && <button type="button" onClick={() => simple('reset')}>{t('command.reset')}</button>}
          {mayConfigure.value && wired.has(row.device?.kind ?? '') && <button type="button" onClick={() => simple('arm')}>{t('command.arm')}</button>}
          {wired.has(row.device?.kind ?? '') && <button type="button" onClick={() => simple('disarm')}>{t('command.disarm')}</button>}
        </div>
      </form>
      <SentList newest={outcome} list={sent.value.filter((s) => s.deviceId === id)} />
    </section>
  )
}

function what({ command }: Sent): string {
  if (command.command !== 'setPower') return t(`command.what.${command.command}`)
  return t('command.what.setPower', { power: signed(command.parameters.power, 1, lang.value), duration: command.parameters.duration })
}

function SentList({ list, newest }: { list: Sent[]; newest: RefObject<HTMLLIElement | null> }) {
  return (
    <div role="status">
      {list.length > 0 && <h4>{t('command.sent')}</h4>}
      <ul class="sent">
        {list.map((s, i) => (
          <li key={s.commandId} ref={i === 0 ? newest : null} class={s.outcome}>
            <time>{time(s.at)}</time>
            <span class="text">
              {what(s)}: <strong>{s.outcome !== 'done' && s.outcome !== 'pending' && <Mark level="warning" />} {t(`command.${s.outcome}`)}</strong>
              {s.reason !== '' && <span class="reason">{s.reason}</span>}
            </span>
          </li>
        ))}
      </ul>
    </div>
  )
}
