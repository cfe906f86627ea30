import type { PlantEvent } from '../api/types.ts'
import { date, time } from '../lib/format.ts'
import { events } from '../state/plant.ts'
import { opened } from '../state/session.ts'
import { t } from '../state/settings.ts'
import { Mark } from './mark.tsx'

/** EventList has the newest first; with link, a device's name opens its faceplate. */
export function EventList({ list, link }: { list: PlantEvent[]; link?: boolean }) {
  return (
    <ul class="events">
      {list.map((e) => (
        <li key={e.eventId} class={e.severity}>
          <Mark level={e.severity} />
          <time dateTime={new Date(e.timestamp).toISOString()} title={date(e.timestamp)}>{time(e.timestamp)}</time>
          <span class="text">
            {link && e.deviceId && <button type="button" class="link" onClick={() => (opened.value = e.deviceId!)}>{e.deviceId}</button>}
            {' '}{e.description || e.eventType}
          </span>
        </li>
      ))}
    </ul>
  )
}

export function Events() {
  const list = events.value
  return (
    <section class="panel events-panel" aria-labelledby="events-title">
      <header><h2 id="events-title">{t('events.title')}</h2></header>
      {list.length === 0
        ? <p class="empty">{t('events.none')}</p>
        : <div class="scroll" tabIndex={0} role="group" aria-labelledby="events-title"><EventList list={list} link /></div>}
    </section>
  )
}
