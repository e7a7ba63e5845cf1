// Whether a history was looked at often enough for its silence to mean something, and whether the daemon said so when
// nothing could get through.
import type { Evidence } from "../evidence.ts";
import type { Invariant } from "../violation.ts";
import type { Findings } from "./findings.ts";

/** On average; several a second are taken while servers and processes answer. */
const LEAST_EVERY_MS = 5_000;
/** However short a history is. */
const LEAST = 3;
/**
 * How long a daemon may go on saying that it streams when nothing gets through: 3 s without an outcome
 * (daemon/stream-session.ts), looked at once a second, on a machine that is busy.
 */
const SAYS_SO_MS = 5_000;

export function checkWatch({ watch, positions, health, looks, view, whole }: Evidence, findings: Findings): void {
  if (!whole) return; // it is not called held
  const least = Math.max(LEAST, Math.floor(watch.ms / LEAST_EVERY_MS));
  const demand = (invariant: Invariant, name: keyof typeof watch.misses, count: number) => {
    const { count: missed, last } = watch.misses[name];
    if (count >= least) return;
    const what = `${count} in ${watch.ms} ms, not ${least}; ${missed} failed${last === null ? "" : `, the last: ${last}`}`;
    findings.add(invariant, "other", `too few ${name} were seen`, what);
  };
  demand(7, "positions", positions.length);
  demand(11, "health", health.length);
  if (view !== null) demand(10, "looks", looks.length);
}

/** Invariant 11: it does not say that it streams while nothing gets through. */
export function checkDark({ dark, health }: Evidence, findings: Findings): void {
  for (const { from, to } of dark) {
    for (const { at, state } of health) {
      if (at < from + SAYS_SO_MS || at > to) continue;
      findings.examined(11, 1);
      if (state !== "streaming") continue;
      const what = `${at - from} ms after nothing got through any more, at ${at} ms`;
      findings.add(11, "other", "a daemon says that it streams and can't", what);
    }
  }
}
