import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { current } from '../state/plant.ts'
import { t } from '../state/settings.ts'
import { Mark } from './mark.tsx'

interface Question {
  text: string
  answer: (yes: boolean) => void
}

const question = signal<Question | null>(null)

/** ask shows text and resolves to the reader's answer. */
export function ask(text: string): Promise<boolean> {
  question.value?.answer(false)
  return new Promise((resolve) => {
    question.value = {
      text,
      answer: (yes) => {
        question.value = null
        resolve(yes)
      },
    }
  })
}

export function Confirm() {
  const dialog = useRef<HTMLDialogElement>(null)
  const asked = question.value
  useEffect(() => {
    if (asked === null) dialog.current?.close()
    else if (!dialog.current?.open) dialog.current?.showModal()
  }, [asked])
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby="confirm-text" onClose={() => question.value?.answer(false)}>
      <p id="confirm-text">{asked?.text}</p>
      {!current() && <p class="notice"><Mark level="warning" /> {t('confirm.stale')}</p>}
      <div class="buttons">
        <button type="button" autofocus onClick={() => asked?.answer(false)}>{t('confirm.no')}</button>
        <button type="button" class="primary" onClick={() => asked?.answer(true)}>{t('confirm.yes')}</button>
      </div>
    </dialog>
  )
}
