// Waiting that ends: what hangs becomes a failure with a name.
import { setTimeout as sleep } from "node:timers/promises";

/** Rejects when the work isn't done in time; what it does later concerns nobody. */
export async function inTime<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
  const over = new AbortController();
  const late = sleep(ms, null, { signal: over.signal }).then(
    () => {
      throw new Error(`${what} hangs: it was not over after ${ms} ms.`);
    },
    () => new Promise<never>(() => undefined), // the work was first
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}
