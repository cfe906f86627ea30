/** Column is what a chart draws; null leaves a gap. */
export type Column = (number | null)[]

/** Series keeps the newest samples of several columns over a rising time
 * column, in rings of fixed size. */
export class Series<K extends string> {
  readonly keys: readonly K[]
  private readonly capacity: number
  private readonly times: Float64Array
  private readonly columns: Map<K, Float64Array>
  private start = 0
  private count = 0
  private broken = false

  constructor(keys: readonly K[], capacity: number) {
    this.keys = keys
    this.capacity = capacity
    this.times = new Float64Array(capacity)
    this.columns = new Map(keys.map((key) => [key, new Float64Array(capacity)]))
  }

  get length(): number {
    return this.count
  }

  /** last is the newest time, or -Infinity while there is none. */
  get last(): number {
    return this.count === 0 ? -Infinity : this.times[this.slot(this.count - 1)]!
  }

  /** push appends a sample. One of the newest time replaces that sample, an
   * older one is dropped. */
  push(time: number, sample: { readonly [P in K]: number | null }): void {
    if (time < this.last) return
    if (time > this.last && this.broken) {
      this.broken = false
      this.put((this.last + time) / 2, null)
    }
    this.put(time, sample)
  }

  /** gap ends the line: the next later sample is not joined to the last. */
  gap(): void {
    this.broken = this.count > 0
  }

  clear(): void {
    this.start = 0
    this.count = 0
    this.broken = false
  }

  /** window is the newest n samples, oldest first. */
  window(n: number): { times: number[]; columns: Record<K, Column> } {
    const from = Math.max(0, this.count - n)
    const times: number[] = []
    for (let i = from; i < this.count; i++) times.push(this.times[this.slot(i)]!)
    const columns = {} as Record<K, Column>
    for (const key of this.keys) {
      const ring = this.columns.get(key)!
      const column: Column = []
      for (let i = from; i < this.count; i++) {
        const value = ring[this.slot(i)]!
        column.push(Number.isNaN(value) ? null : value)
      }
      columns[key] = column
    }
    return { times, columns }
  }

  private put(time: number, sample: { readonly [P in K]: number | null } | null): void {
    let at: number
    if (time === this.last) {
      at = this.slot(this.count - 1)
    } else if (this.count < this.capacity) {
      at = this.slot(this.count++)
    } else {
      at = this.start
      this.start = (this.start + 1) % this.capacity
    }
    this.times[at] = time
    for (const key of this.keys) this.columns.get(key)![at] = sample?.[key] ?? NaN
  }

  private slot(i: number): number {
    return (this.start + i) % this.capacity
  }
}
