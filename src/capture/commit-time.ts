// Postgres's commit time as text.

const EPOCH_2000_MS = 946_684_800_000;

/** Microseconds since 2000-01-01 UTC → `2026-11-22T18:00:00.123456Z`. */
export function formatCommitTime(microseconds: bigint): string {
  // Floor, also for times before 2000, so that the microseconds stay positive.
  let milliseconds = microseconds / 1000n;
  let rest = microseconds % 1000n;
  if (rest < 0n) {
    milliseconds -= 1n;
    rest += 1000n;
  }
  const iso = new Date(Number(milliseconds) + EPOCH_2000_MS).toISOString();
  return `${iso.slice(0, -1)}${rest.toString().padStart(3, "0")}Z`;
}
