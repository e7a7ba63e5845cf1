// The wall clock as events show it; it decides nothing.

/** ISO 8601, UTC, with microseconds' digits as all timestamps of events have them. */
export function wallTime(): string {
  return `${new Date().toISOString().slice(0, -1)}000Z`;
}
