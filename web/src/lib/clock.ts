/** staleMs is the age at which a value is no longer shown as current. */
export const staleMs = 3000

/** PlantClock carries the plant's time on between its messages. Plant time may
 * run faster than wall time, so ages are judged in wall time. */
export class PlantClock {
  private time = 0
  private heard = -Infinity // wall ms
  private rate = 1

  /** set notes that the plant said `time` when the wall showed `wall`. */
  set(time: number, speed: number | null, wall: number): void {
    this.time = time
    this.heard = wall
    this.rate = speed !== null && speed > 0 ? speed : 1
  }

  /** heardAt is the wall time of the plant's last word, -Infinity before it. */
  get heardAt(): number {
    return this.heard
  }

  /** now is the plant's time, 0 while it is unknown. */
  now(wall: number): number {
    return this.heard === -Infinity ? 0 : this.time + (wall - this.heard) * this.rate
  }

  /** age is how old a value measured at `timestamp` is, in plant ms. */
  age(timestamp: number, wall: number): number {
    return Math.max(0, this.now(wall) - timestamp)
  }

  /** stale says whether a value measured at `timestamp` is too old to act on.
   * At high speed the plant measures once per message at best, so a value may
   * lag by as much plant time as 3 s of wall time carry. */
  stale(timestamp: number, wall: number): boolean {
    return this.silent(wall) || this.age(timestamp, wall) > staleMs * Math.max(1, this.rate)
  }

  /** silent says whether the plant has not been heard for too long. */
  silent(wall: number): boolean {
    return wall - this.heard > staleMs
  }
}
