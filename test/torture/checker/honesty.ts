// Invariants 11 and 12: no process ends or reports health in a way that hides a fault, and all is published in time.
import type { Evidence, ProcessExit } from "../evidence.ts";
import { documentedCodes } from "./error-codes.ts";
import type { Findings } from "./findings.ts";

/** As docs/cli.md lists them. */
const CODES = new Set([0, 1, 2, 3, 4, 5]);
/** Those that ask for an end. */
const ASKING = new Set(["SIGTERM", "SIGINT"]);
const STATES = new Set([
  ...["starting", "preflight", "standby", "snapshotting", "streaming", "backing-off", "draining", "stopped", "halted"],
]);
/** In which an orchestrator is told that all is well (docs/cli.md). */
const READY = new Set(["streaming", "standby"]);

export function checkHonesty({ exits, health }: Evidence, findings: Findings): void {
  findings.examined(11, exits.length + health.length);
  for (const exit of exits) checkExit(exit, findings);
  for (const { at, state, healthy } of health) {
    const what = `${state} after ${at} ms`;
    if (!STATES.has(state)) findings.add(11, "other", "a daemon is in an unknown state", what);
    else if (healthy && !READY.has(state)) findings.add(11, "other", "a daemon calls itself healthy and is not", what);
    else if (!healthy && READY.has(state))
      findings.add(11, "other", "a daemon calls itself unhealthy and is not", what);
  }
}

/** It ends because it was made to, and with a code only where the fault says that it may. */
function checkExit({ process, code, signal, errorCode, sent, during, allowed }: ProcessExit, findings: Findings): void {
  const what = `${process}: code ${code}, signal ${signal}, ${errorCode ?? "without a message"}, in ${during ?? "no round"}`;
  const report = (sort: string) => findings.add(11, "other", sort, what);
  if (signal !== null && !sent.includes(signal)) report("a process was ended by a signal that nobody sent");
  if (code === 0 && !sent.some((one) => ASKING.has(one))) report("a process ended that nobody had asked to");
  if (code === null && signal === null) report("a process ended nobody knows how");
  if (errorCode === "INTERNAL") report("a process ended by something unforeseen");
  else if (errorCode !== null && !documentedCodes().has(errorCode))
    report("a process names an error that is not documented");
  if (code === null || code === 0) return;
  if (!CODES.has(code)) report("a process ended with an unknown code");
  if (errorCode === null) report("a process failed without naming an error");
  else if (!allowed.includes(errorCode)) report("a process failed where it had to go on");
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
