import { useEffect } from 'preact/hooks'
import { signed } from '../lib/format.ts'
import { current, fleet } from '../state/plant.ts'
import { token } from '../state/session.ts'
import { lang, t } from '../state/settings.ts'
import { PowerChart, SocChart } from './charts.tsx'
import { Confirm } from './confirm.tsx'
import { Devices } from './devices.tsx'
import { DispatchPanel } from './dispatch.tsx'
import { Events } from './events.tsx'
import { Faceplate } from './faceplate.tsx'
import { Banner, Header } from './header.tsx'
import { Scores } from './scores.tsx'
import { SignIn } from './signin.tsx'
import { Tiles } from './tiles.tsx'

// Title keeps the tab's name telling, so that a page in the background still
// says what the fleet does.
function Title() {
  const power = fleet.value?.power_kw ?? null
  const text = token.value === '' || power === null ? t('app.name')
    : `${current() ? '' : '⚠ '}${signed(power, 0, lang.value)} kW · ${t('app.name')}`
  useEffect(() => {
    document.title = text
  }, [text])
  return null
}

export function App() {
  return (
    <>
      <Title />
      {token.value === '' ? <SignIn /> : <Plant />}
      <Confirm />
    </>
  )
}

function Plant() {
  return (
    <div class={`plant-page ${current() ? '' : 'not-current'}`}>
      <a class="skip" href="#devices" onClick={(e) => {
        e.preventDefault()
        document.getElementById('devices')?.focus()
      }}>{t('app.skip')}</a>
      <div class="head">
        <Header />
        <Banner />
      </div>
      <main class="grid">
        <Tiles />
        <PowerChart />
        <SocChart />
        <div class="side">
          <DispatchPanel />
          <Scores />
          <Events />
        </div>
        <Devices />
        <Faceplate />
      </main>
    </div>
  )
}
