// What /healthz and /readyz say, and why: for orchestrators that restart what is dead and wait for what is not ready.
import type { DaemonStatus, State } from "./status.ts";

export interface Verdict {
  readonly ok: boolean;
  readonly state: State;
  /** In words; holds codes of errors, no message, since anybody may read it. */
  readonly reason: string;
}

type Judged = Pick<DaemonStatus, "state" | "lastError">;

/**
 * The process answers and has not halted. A restart mends nothing else: servers that are away are waited for, and a halt
 * comes again until somebody does what its code says.
 */
export function health({ state, lastError }: Judged): Verdict {
  return state === "halted"
    ? { ok: false, state, reason: `halted: ${lastError?.code ?? "the log says why"}` }
    : { ok: true, state, reason: "the process answers and has not halted" };
}

const READY: Readonly<Record<State, readonly [ok: boolean, reason: string]>> = {
  starting: [false, "starting"],
  preflight: [false, "checking Postgres and Kafka"],
  // It does all that it is there for; a rollout that waits for it would wait for the one it stands by for to end.
  standby: [true, "stands by: another daemon streams, and this one takes over when the slot is free"],
  snapshotting: [true, "streams, and reads tables beside it"],
  streaming: [true, "streams"],
  "backing-off": [false, "backs off and tries again"],
  draining: [false, "stops at a batch boundary"],
  stopped: [false, "has stopped"],
  halted: [false, "has halted"],
};

/** It streams, or would take over at once. */
export function readiness({ state, lastError }: Judged): Verdict {
  const [ok, reason] = READY[state];
  const after = (state === "backing-off" || state === "halted") && lastError != null ? ` after ${lastError.code}` : "";
  return { ok, state, reason: reason + after };
}
