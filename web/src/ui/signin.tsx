import { useState } from 'preact/hooks'
import { Problem } from '../api/client.ts'
import { check, refusal, signIn } from '../state/session.ts'
import { t } from '../state/settings.ts'
import { Preferences } from './header.tsx'
import { Mark } from './mark.tsx'

type Trouble = { kind: 'refused' } | { kind: 'unreachable'; reason: string }

export function SignIn() {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState<Trouble | null>(refusal.value === 'refused' ? { kind: 'refused' } : null)

  const submit = async (e: Event) => {
    e.preventDefault()
    const token = text.trim()
    setBusy(true)
    setTrouble(null)
    try {
      await check(token)
      signIn(token)
    } catch (err) {
      const p = err as Problem
      setTrouble(p.status === 401 || p.status === 403 ? { kind: 'refused' } : { kind: 'unreachable', reason: p.message })
    } finally {
      setBusy(false)
    }
  }

  return (
    <main class="signin">
      <form class="panel" onSubmit={submit}>
        <h1>{t('app.name')}</h1>
        <label for="token">{t('signin.token')}</label>
        <input id="token" type="password" required autocomplete="off" spellcheck={false} aria-describedby="token-hint"
          value={text} onInput={(e) => setText(e.currentTarget.value)} autofocus />
        <p id="token-hint" class="hint">{t('signin.hint')} {t('signin.stay')}</p>
        {trouble && (
          <p class="notice" role="alert">
            <Mark level="warning" /> {trouble.kind === 'refused' ? t('signin.refused') : t('signin.unreachable', { reason: trouble.reason })}
          </p>
        )}
        <div class="buttons">
          <Preferences />
          <button type="submit" class="primary" disabled={busy || text.trim() === ''}>{busy ? t('signin.checking') : t('signin.submit')}</button>
        </div>
      </form>
    </main>
  )
}
