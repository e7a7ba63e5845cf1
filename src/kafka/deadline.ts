// Trying again until a time limit, on the monotonic clock.
import { setTimeout as sleep } from "node:timers/promises";
import { NoReply } from "./errors.ts";

const NO_REPLY_MS = 100;

export class Deadline {
  readonly #end: number;

  constructor(milliseconds: number) {
    this.#end = performance.now() + milliseconds;
  }

  /** Milliseconds, never below zero. */
  get left(): number {
    return Math.max(0, this.#end - performance.now());
  }

  get passed(): boolean {
    return this.left === 0;
  }
}

/** Says that an attempt led to nothing: `reason` is thrown should the time be up. */
export class Again {
  readonly reason: Error;
  readonly delayMs: number;

  constructor(reason: Error, delayMs: number) {
    this.reason = reason;
    this.delayMs = delayMs;
  }
}

/** Runs `attempt` until it returns something else than `Again`, or throws the last reason when the time is up. */
export async function untilDeadline<T>(deadline: Deadline, attempt: () => Promise<T | Again>): Promise<T> {
  for (;;) {
    const outcome = await attempt();
    if (!(outcome instanceof Again)) {
      return outcome;
    }
    if (deadline.left <= outcome.delayMs) {
      throw outcome.reason;
    }
    await sleep(outcome.delayMs);
  }
}

/** `untilDeadline` for what may be repeated: an attempt that got no reply is made again. */
export function untilAnswered<T>(deadline: Deadline, attempt: () => Promise<T | Again>): Promise<T> {
  return untilDeadline(deadline, async () => {
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof NoReply) {
        return new Again(error, NO_REPLY_MS);
      }
      throw error;
    }
  });
}
