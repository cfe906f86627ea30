// The commands sent from this page, with what became of each.
import { signal } from '@preact/signals'
import { type Client, Problem } from '../api/client.ts'
import type { Ack, Command } from '../api/types.ts'

/** Outcome is unknown when the plant did not answer: the device may act or not. */
export type Outcome = 'pending' | 'unknown' | Ack['status']

export interface Sent {
  commandId: string
  deviceId: string
  command: Command
  at: number // wall ms
  outcome: Outcome
  reason: string
}

const kept = 50

export const sent = signal<Sent[]>([])

/** commandId is new for each command; randomUUID would need a secure context. */
export function commandId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return 'portal-' + [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')
}

function settle(id: string, outcome: Outcome, reason: string): void {
  sent.value = sent.value.map((s) => (s.commandId === id ? { ...s, outcome, reason } : s))
}

const waiting = (id: string) => sent.value.some((s) => s.commandId === id && s.outcome === 'pending')

/** send gives a command to the plant. It never rejects: the outcome is in
 * `sent`, and stays pending until the acknowledgement comes. */
export async function send(client: Client, deviceId: string, command: Command): Promise<void> {
  const id = commandId()
  const entry: Sent = { commandId: id, deviceId, command, at: Date.now(), outcome: 'pending', reason: '' }
  sent.value = [entry, ...sent.value].slice(0, kept)
  try {
    const answer = await client.control(deviceId, id, command)
    if (answer.code === 'SUCCESS' && waiting(id)) settle(id, 'done', '')
  } catch (err) {
    if (!(err instanceof Problem)) throw err
    if (!waiting(id)) return // the device's own answer was faster
    settle(id, err.status === 0 ? 'unknown' : err.status >= 500 ? 'failed' : 'rejected', reasonOf(err))
  }
}

/** acknowledge notes the device's own answer. */
export function acknowledge(ack: Ack): void {
  if (sent.value.some((s) => s.commandId === ack.commandId)) settle(ack.commandId, ack.status, ack.reason ?? '')
}

/** reasonOf is a refusal in one line: code, reason, hint. */
export function reasonOf(err: unknown): string {
  if (!(err instanceof Problem)) return String(err)
  return [`${err.code}: ${err.message}`, err.hint].filter((part) => part !== '').join(' – ')
}
