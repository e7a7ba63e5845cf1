// Invariants 11 and 12: no process ends or reports health in a way that hides a fault, and all is published in time.
import type { Evidence } from "../evidence.ts";
import type { Findings } from "./findings.ts";

/** As docs/cli.md lists them. */
const CODES = new Set([0, 1, 2, 3, 4, 5]);
/** Those that a fault sends; any other signal is a crash. */
const SENT = new Set(["SIGKILL", "SIGTERM", "SIGINT"]);
const STATES = new Set([
  ...["starting", "preflight", "standby", "snapshotting", "streaming", "backing-off", "draining", "stopped", "halted"],
]);
/** In which an orchestrator is told that all is well (docs/cli.md). */
const READY = new Set(["streaming", "standby"]);

export function checkHonesty({ exits, health }: Evidence, findings: Findings): void {
  findings.examined(11, exits.length + health.length);
  for (const { process, code, signal, errorCode } of exits) {
    const what = `${process}: code ${code}, signal ${signal}, ${errorCode ?? "without a message"}`;
    if (code === null && signal === null) findings.add(11, "other", "a process ended nobody knows how", what);
    if (code === null && signal !== null && !SENT.has(signal)) findings.add(11, "other", "a process crashed", what);
    if (code !== null && !CODES.has(code)) findings.add(11, "other", "a process ended with an unknown code", what);
    if (code !== null && code !== 0 && errorCode === null) {
      findings.add(11, "other", "a process failed without naming an error", what);
    }
    if (errorCode === "INTERNAL") findings.add(11, "other", "a process ended by something unforeseen", what);
  }
  for (const { at, state, healthy } of health) {
    const what = `${state} after ${at} ms`;
    if (!STATES.has(state)) findings.add(11, "other", "a daemon is in an unknown state", what);
    else if (healthy && !READY.has(state)) findings.add(11, "other", "a daemon calls itself healthy and is not", what);
    else if (!healthy && READY.has(state))
      findings.add(11, "other", "a daemon calls itself unhealthy and is not", what);
  }
}

export function checkLiveness({ rounds }: Evidence, findings: Findings): void {
  findings.examined(12, rounds.length);
  for (const { round, fault, healedAt, caughtUpAt, boundMs } of rounds) {
    const what = `round ${round}, ${fault}`;
    if (caughtUpAt === null) findings.add(12, "other", "it never caught up", what);
    else if (caughtUpAt < healedAt) findings.add(12, "other", "it caught up before the fault was over", what);
    else if (caughtUpAt - healedAt > boundMs) {
      findings.add(12, "other", "it took too long to catch up", `${what}: ${caughtUpAt - healedAt} ms of ${boundMs}`);
    }
  }
}
