// Waiting for a condition with a deadline, instead of sleeping and hoping.
import { setTimeout as sleep } from "node:timers/promises";

export interface WaitOptions {
  /** Named in the error when the time is over. */
  what: string;
  /** Milliseconds; 60,000 by default. A bound, not a claim: machines may be slow. */
  timeout?: number;
}

/**
 * Polls until the condition gives something truthy, and returns that. An exception of the condition is thrown at once,
 * unless it is an assertion that failed: that one counts as "not yet" and is the error's cause when the time is over.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, timeout = 60_000 }: WaitOptions,
): Promise<Exclude<T, undefined | null | false>> {
  const deadline = Date.now() + timeout;
  for (;;) {
    let cause: unknown;
    try {
      const answer = await condition();
      if (answer) return answer as Exclude<T, undefined | null | false>;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== "AssertionError") throw error;
      cause = error;
    }
    if (Date.now() > deadline) throw new Error(`Waited ${timeout} ms in vain for ${what}.`, { cause });
    await sleep(25);
  }
}
