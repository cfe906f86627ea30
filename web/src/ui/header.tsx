import { date, number, time, zone } from '../lib/format.ts'
import { clock, current, fleet, link, registryFault, system, wall } from '../state/plant.ts'
import { retry, signOut } from '../state/session.ts'
import { lang, t, theme, type Theme, word } from '../state/settings.ts'
import { Mark } from './mark.tsx'

function Connection() {
  const { phase } = link.value
  const state = phase === 'live' && !current() ? 'silent' : phase
  return (
    <span class={`connection ${state}`} role="status">
      {state === 'live' ? <span class="dot" aria-hidden="true" /> : <Mark level={state === 'lost' ? 'critical' : 'warning'} />}
      {t(`link.${state}`)}
    </span>
  )
}

export function Preferences() {
  return (
    <>
      <label class="theme">
        <span class="unseen">{t('app.theme')}</span>
        <select value={theme.value} onChange={(e) => (theme.value = e.currentTarget.value as Theme)}>
          {(['auto', 'light', 'dark'] as const).map((th) => <option key={th} value={th}>{t(`app.theme.${th}`)}</option>)}
        </select>
      </label>
      <button type="button" class="quiet" lang={lang.value === 'en' ? 'zh-CN' : 'en'} title={t('app.language.hint')}
        onClick={() => (lang.value = lang.value === 'en' ? 'zh-CN' : 'en')}>
        {t('app.language')}
      </button>
    </>
  )
}

export function Header() {
  const s = system.value
  const now = fleet.value === null ? 0 : current() ? clock.now(wall.value) : fleet.value.time
  const speed = fleet.value?.speed ?? s?.run?.speed ?? null
  return (
    <header class="top">
      <h1 title={s ? t('app.version', { version: s.version, hash: s.binary_sha256.slice(0, 12) }) : ''}>
        {t('app.name')}{s && s.name.toLowerCase() !== 'yunchu' && <span class="plant"> {s.name}</span>}
      </h1>
      {s?.run && <span class="fact"><span class="name">{t('run.scenario')}</span> {s.run.scenario}</span>}
      {s?.simulation && <span class="badge" title={t('app.simulation.hint')}>{t('app.simulation')}</span>}
      <Connection />
      {now > 0 && (
        <span class={`fact clock ${current() ? '' : 'stale'}`}>
          <span class="name">{t('time.plant')}</span> <span class="digits">{date(now)} {time(now)}</span> {zone(now)}
        </span>
      )}
      {s?.run && speed !== null && (
        <span class="fact"><span class="name">{t('time.speed')}</span> <span title={t('time.speed.value', { speed })}>{number(speed, speed < 10 && speed % 1 !== 0 ? 1 : 0, lang.value)}×</span></span>
      )}
      <span class="space" />
      {s && <span class="fact role">{word('role', s.role)}</span>}
      <Preferences />
      <button type="button" class="quiet" onClick={signOut}>{t('app.signout')}</button>
    </header>
  )
}

/** Banner says what keeps the page from being current. */
export function Banner() {
  const { phase, since, retryAt } = link.value
  const now = wall.value
  if (phase === 'lost') {
    const seconds = Math.max(0, Math.ceil((retryAt - now) / 1000))
    return (
      <div class="banner critical">
        <span role="alert"><Mark level="critical" /> {t('link.lost.since', { time: time(clock.heardAt > 0 ? clock.heardAt : since) })}</span>
        <span>{retryAt === 0 || seconds === 0 ? t('link.trying') : t('link.retry.in', { seconds })}</span>
        <button type="button" onClick={retry}>{t('link.retry.now')}</button>
      </div>
    )
  }
  if (phase === 'live' && clock.heardAt > 0 && clock.silent(now)) {
    return (
      <div class="banner warning">
        <span role="alert"><Mark level="warning" /> {t('link.silent.since', { time: time(clock.heardAt) })}</span>
      </div>
    )
  }
  if (registryFault.value !== '') {
    return <div class="banner warning"><span role="alert"><Mark level="warning" /> {t('link.registry', { reason: registryFault.value })}</span></div>
  }
  return null
}
