// How long to wait before the next attempt.

const FIRST_MS = 250;
const LONGEST_MS = 10_000;

/** Doubles with every failure up to 10 s, with a fifth of jitter, so that many daemons don't come back at once. */
export function backoffMs(failures: number, random: number = Math.random()): number {
  const delay = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
  return Math.round(delay * (0.9 + 0.2 * random));
}
