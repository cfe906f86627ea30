import type { Answer, Command, Device, Dispatch, HistoryItem, Limits, Login, Page, Setting, System } from './types.ts'

const timeoutMs = 10_000

/** Problem is a refusal by the plant (RFC 9457) or the failure to reach it,
 * which has status 0 and code UNREACHABLE. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly hint: string

  constructor(status: number, code: string, detail: string, hint = '') {
    super(detail)
    this.name = 'Problem'
    this.status = status
    this.code = code
    this.hint = hint
  }
}

/** problem reads the body of a refusal. Bodies that are not JSON, such as a
 * proxy's error page, give the status alone. */
export function problem(status: number, statusText: string, body: string): Problem {
  let fields: Record<string, unknown> = {}
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null) fields = parsed as Record<string, unknown>
  } catch {
    // not JSON
  }
  const text = (...keys: string[]) => {
    for (const key of keys) {
      const value = fields[key]
      if (typeof value === 'string' && value !== '') return value
    }
    return ''
  }
  return new Problem(status, text('code') || `HTTP ${status}`, text('reason', 'detail', 'title') || statusText, text('hint'))
}

/** Client speaks the REST part of the API with one token, or with none. Every
 * method rejects with a Problem. */
export class Client {
  private readonly token: string
  private readonly fetch: typeof fetch

  constructor(token = '', fetcher: typeof fetch = (...a) => fetch(...a)) {
    this.token = token
    this.fetch = fetcher
  }

  login(user: string, password: string): Promise<Login> {
    return this.call('POST', '/api/v1/login', { user, password })
  }

  /** setup makes the first administrator with the token that the plant printed. */
  setup(token: string, user: string, password: string): Promise<Login> {
    return this.call('POST', '/api/v1/setup', { token, user, password })
  }

  refresh(refreshToken: string): Promise<Login> {
    return this.call('POST', '/api/v1/refresh', { refreshToken })
  }

  logout(refreshToken: string): Promise<void> {
    return this.call('POST', '/api/v1/logout', { refreshToken })
  }

  system(): Promise<System> {
    return this.call('GET', '/api/v1/system')
  }

  dispatch(): Promise<Dispatch> {
    return this.call('GET', '/api/v1/dispatch')
  }

  setDispatch(setting: Setting): Promise<Dispatch> {
    return this.call('PUT', '/api/v1/dispatch', setting)
  }

  /** devices reads all pages of the registry. */
  devices(): Promise<Device[]> {
    return this.pages<Device>('/api/v1/devices', { limit: '1000' })
  }

  limits(deviceId: string): Promise<Limits> {
    return this.call('GET', `/api/v1/devices/${encodeURIComponent(deviceId)}/limits`)
  }

  /** history has the raw readings with from ≤ t < to, ascending. */
  history(deviceId: string, from: number, to: number, fields: string[]): Promise<HistoryItem[]> {
    return this.pages<HistoryItem>(`/api/v1/devices/${encodeURIComponent(deviceId)}/history`, {
      from: String(Math.floor(from)),
      to: String(Math.ceil(to)),
      fields: fields.join(','),
      limit: '10000',
    })
  }

  /** control sends one command. It carries no timestamp: the clock of a browser
   * is no measure for the age of a command. */
  control(deviceId: string, commandId: string, command: Command): Promise<Answer> {
    return this.call('POST', '/api/v1/device/control', { deviceId, commandId, ...command })
  }

  private async pages<T>(path: string, query: Record<string, string>): Promise<T[]> {
    const all: T[] = []
    for (let cursor = ''; ; ) {
      const params = new URLSearchParams(cursor === '' ? query : { ...query, cursor })
      const page = await this.call<Page<T>>('GET', `${path}?${params}`)
      all.push(...(page.items ?? []))
      if (!page.next || page.next === cursor) return all
      cursor = page.next
    }
  }

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = {}
    if (this.token !== '') headers.Authorization = `Bearer ${this.token}`
    const signal = AbortSignal.timeout(timeoutMs)
    const init: RequestInit = { method, headers, signal, cache: 'no-store', credentials: 'omit' }
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json'
      init.body = JSON.stringify(body)
    }
    let status: number, ok: boolean, statusText: string, text: string
    try {
      const response = await this.fetch(path, init)
      ;({ status, ok, statusText } = response)
      text = await response.text()
    } catch (cause) {
      throw new Problem(0, 'UNREACHABLE', cause instanceof Error ? cause.message : String(cause))
    }
    if (!ok) throw problem(status, statusText, text)
    if (status === 204) return undefined as T
    try {
      return JSON.parse(text) as T
    } catch {
      throw new Problem(status, 'BAD_ANSWER', `${method} ${path}: the answer is not JSON`)
    }
  }
}
