import { useState } from 'preact/hooks'
import { Client, Problem } from '../api/client.ts'
import type { Grant } from '../lib/grant.ts'
import { bearer, check, refusal, session, signIn } from '../state/session.ts'
import { t } from '../state/settings.ts'
import { Preferences } from './header.tsx'
import { Mark } from './mark.tsx'

const ways = ['password', 'token', 'setup'] as const
type Way = (typeof ways)[number]

interface Entry {
  user: string
  password: string
  token: string
}

// Who signs in for the first time with a token that the plant printed becomes its
// administrator; the others are known to it.
const grantBy: Record<Way, (e: Entry) => Promise<Grant>> = {
  password: async (e) => session(await new Client().login(e.user, e.password)),
  token: async (e) => {
    await check(e.token)
    return bearer(e.token)
  },
  setup: async (e) => session(await new Client().setup(e.token, e.user, e.password)),
}

const refusedBy = { password: 'signin.wrong', token: 'signin.refused', setup: 'signin.unset' } as const

function reason(way: Way, err: unknown): string {
  if (!(err instanceof Problem)) return String(err)
  if ([401, 403, 409].includes(err.status)) return t(refusedBy[way])
  if (err.status === 0) return t('signin.unreachable', { reason: err.message })
  return err.hint === '' ? err.message : `${err.message}. ${err.hint}`
}

function Field(props: { id: string; label: string; secret?: boolean; autocomplete: 'off' | 'username' | 'current-password' | 'new-password'; hint?: string; value: string; set: (text: string) => void }) {
  const { id, label, secret, autocomplete, hint, value, set } = props
  const common = {
    id, autocomplete, value, required: true, spellcheck: false, autocapitalize: 'none', 'aria-describedby': hint ? `${id}-hint` : undefined,
    onInput: (e: { currentTarget: HTMLInputElement }) => set(e.currentTarget.value),
  } as const
  return (
    <>
      <label for={id}>{label}</label>
      {secret ? <input type="password" {...common} /> : <input type="text" {...common} />}
      {hint && <p id={`${id}-hint`} class="hint">{hint}</p>}
    </>
  )
}

export function SignIn() {
  const [way, setWay] = useState<Way>('password')
  const [user, setUser] = useState('')
  const [password, setPassword] = useState('')
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState(refusal.value === 'ended' ? t('signin.ended') : '')

  const choose = (next: Way) => {
    setWay(next)
    setTrouble('')
  }
  const submit = async (e: Event) => {
    e.preventDefault()
    setBusy(true)
    setTrouble('')
    try {
      signIn(await grantBy[way]({ user: user.trim(), password, token: text.trim() }))
    } catch (err) {
      setTrouble(reason(way, err))
    } finally {
      setBusy(false)
    }
  }
  const token = <Field key="token" id="token" label={t(way === 'setup' ? 'signin.setup' : 'signin.token')} secret autocomplete="off"
    hint={way === 'setup' ? t('signin.setup.hint') : `${t('signin.hint')} ${t('signin.stay')}`} value={text} set={setText} />

  return (
    <main class="signin">
      <form class="panel" onSubmit={submit}>
        <h1>{t('app.name')}</h1>
        <div class="segments" role="group" aria-label={t('signin.how')}>
          {ways.map((w) => <button key={w} type="button" aria-pressed={w === way} onClick={() => choose(w)}>{t(`signin.by.${w}`)}</button>)}
        </div>
        {way !== 'password' && token}
        {way !== 'token' && (
          <>
            <Field id="user" label={t('signin.user')} autocomplete="username" value={user} set={setUser} />
            <Field id="password" label={t('signin.password')} secret autocomplete={way === 'setup' ? 'new-password' : 'current-password'} value={password} set={setPassword} />
          </>
        )}
        {trouble !== '' && <p class="notice" role="alert"><Mark level="warning" /> {trouble}</p>}
        <div class="buttons">
          <Preferences />
          <button type="submit" class="primary" disabled={busy}>{busy ? t('signin.checking') : t('signin.submit')}</button>
        </div>
      </form>
    </main>
  )
}
