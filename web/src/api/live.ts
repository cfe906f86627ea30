import type { Frame } from './types.ts'

export type Phase = 'connecting' | 'live' | 'lost'

export interface Link {
  phase: Phase
  since: number // wall ms at which this phase began
  retryAt: number // wall ms of the next attempt, 0 when none is planned
}

export interface Handlers {
  link: (link: Link) => void
  frame: (frame: Frame) => void
  /** refused is asked before each new attempt; true ends the attempts. */
  refused: () => Promise<boolean>
}

const subscription = JSON.stringify({
  subscribe: { devices: '*', types: ['snapshot', 'readings', 'event', 'ack', 'state', 'score'] },
})

// A plant says its state once a second; ten silent seconds are a dead link,
// which TCP alone may take minutes to notice.
const silenceMs = 10_000
const firstBackoffMs = 500
const lastBackoffMs = 15_000

/** backoff is how long to wait before attempt n = 0, 1, 2 …: doubled each time
 * and spread by random (0..1), so that many portals do not return at once. */
export function backoff(n: number, random: number): number {
  const ceiling = Math.min(lastBackoffMs, firstBackoffMs * 2 ** n)
  return Math.round(ceiling * (0.5 + 0.5 * random))
}

/** subprotocol carries the token in the handshake, since browsers cannot set
 * headers there. Characters that are not allowed in a subprotocol name
 * (RFC 9110 token) are percent-encoded; ordinary tokens stay as they are. */
export function subprotocol(token: string): string {
  return 'bearer.' + token.replace(/[^A-Za-z0-9!#$&'*+.^_`|~-]/gu, (c) =>
    [...new TextEncoder().encode(c)].map((b) => '%' + b.toString(16).toUpperCase().padStart(2, '0')).join(''))
}

/** Live keeps one WebSocket to the plant open until stopped. */
export class Live {
  private readonly url: string
  private token: string
  private readonly on: Handlers
  private socket: WebSocket | null = null
  private timer = 0
  private attempts = 0
  private stopped = false
  private lostSince = 0

  constructor(url: string, token: string, on: Handlers) {
    this.url = url
    this.token = token
    this.on = on
  }

  start(): void {
    this.stopped = false
    this.open()
  }

  stop(): void {
    this.stopped = true
    this.drop()
  }

  /** renew goes on with another token. The plant ends what the one before has
   * opened when that runs out; this is sooner, and nothing is shown as lost. */
  renew(token: string): void {
    this.token = token
    if (!this.stopped && this.socket !== null) this.open()
  }

  /** retry attempts at once instead of at the planned time. */
  retry(): void {
    if (this.stopped || this.socket !== null) return
    this.open()
  }

  private open(): void {
    this.drop()
    if (this.lostSince === 0) this.on.link({ phase: 'connecting', since: Date.now(), retryAt: 0 })
    else this.on.link({ phase: 'lost', since: this.lostSince, retryAt: 0 })
    const socket = new WebSocket(this.url, ['yunchu.v1', subprotocol(this.token)])
    this.socket = socket
    this.watch()
    socket.onopen = () => socket.send(subscription)
    let live = false
    socket.onmessage = (message) => {
      this.watch()
      if (!live) {
        live = true
        this.attempts = 0
        this.lostSince = 0
        this.on.link({ phase: 'live', since: Date.now(), retryAt: 0 })
      }
      this.on.frame(JSON.parse(message.data as string) as Frame)
    }
    socket.onclose = () => this.lost()
  }

  // watch restarts the silence watchdog.
  private watch(): void {
    clearTimeout(this.timer)
    this.timer = window.setTimeout(() => this.lost(), silenceMs)
  }

  private drop(): void {
    clearTimeout(this.timer)
    const socket = this.socket
    this.socket = null
    if (socket === null) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }

  private lost(): void {
    this.drop()
    if (this.stopped) return
    if (this.lostSince === 0) this.lostSince = Date.now()
    const wait = backoff(this.attempts++, Math.random())
    this.on.link({ phase: 'lost', since: this.lostSince, retryAt: Date.now() + wait })
    this.timer = window.setTimeout(() => void this.again(), wait)
  }

  private async again(): Promise<void> {
    const refused = await this.on.refused()
    if (this.stopped || this.socket !== null) return
    if (refused) this.stop()
    else this.open()
  }
}
