/** Place is what the fragment of the address says: a token on the first visit,
 * and the device whose faceplate is open. */
export interface Place {
  token: string
  device: string
}

export function parse(fragment: string): Place {
  const params = new URLSearchParams(fragment.replace(/^#/, '').replaceAll('+', '%2B'))
  return { token: params.get('token') ?? '', device: params.get('device') ?? '' }
}

/** format is the fragment for a place. A token is never written. */
export function format(place: { device: string }): string {
  return place.device === '' ? '' : `#device=${encodeURIComponent(place.device)}`
}
