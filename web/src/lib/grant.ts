/** Grant is what a tab may show the plant: a token alone, which is good until the
 * plant says otherwise, or that of a login with what renews it. */
export interface Grant {
  token: string
  refresh: string // empty: it cannot be renewed
  since: number // wall ms at which this browser had it
}

/** renewAfterMs leaves a third of the quarter of an hour that an access token of
 * a login is good for. */
const renewAfterMs = 10 * 60_000

/** renewIn is how long to wait until a grant is renewed, in ms; null: never. */
export function renewIn(grant: Grant, now: number): number | null {
  if (grant.refresh === '') return null
  return Math.min(renewAfterMs, Math.max(0, grant.since + renewAfterMs - now))
}

/** family names the session of a grant: the half of its refresh token that stays. */
export function family(grant: Grant): string {
  return grant.refresh.split('.', 1)[0]!
}

/** read is the inverse of JSON.stringify for a grant. What is none is null. */
export function read(text: string | null): Grant | null {
  try {
    const { token, refresh, since } = JSON.parse(text ?? '') as Record<string, unknown>
    if (typeof token === 'string' && token !== '' && typeof refresh === 'string' && typeof since === 'number') return { token, refresh, since }
  } catch {
    // not JSON
  }
  return null
}
