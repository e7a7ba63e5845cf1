// Waiting out a Kafka that does not answer: which errors pass by themselves, and for how long they may.
import { setTimeout as sleep } from "node:timers/promises";
import { AfterimageError } from "../../errors.ts";

export interface ConsumerLogger {
  info(message: string): void;
  warn(message: string): void;
}

export interface Patience {
  readonly signal: AbortSignal;
  readonly logger: ConsumerLogger;
  readonly limitMs: number;
  /** Told when Kafka stops and starts to answer. */
  readonly onReachable?: (isReachable: boolean) => void;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
/** Far above the half second that an idle fetch takes. The Kafka layer itself tries for longer before it fails. */
const SILENCE_MS = 3_000;

/** True for what a restart of a broker or a broken network causes; false for what only a person can mend. */
export function passesByItself(thrown: unknown): thrown is AfterimageError {
  return (
    thrown instanceof AfterimageError && (thrown.code === "KAFKA_UNREACHABLE" || thrown.code === "KAFKA_NOT_READY")
  );
}

/** Ends early, and without an error, when the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((reason: unknown) => {
    if (!signal.aborted) {
      throw reason;
    }
  });
}

/**
 * Repeats the step until it succeeds, for at most `limitMs`, with growing pauses; says so once, and once when it is
 * over. Gives undefined when the signal is aborted. Errors that don't pass by themselves are thrown at once.
 */
export async function patiently<T>(step: () => Promise<T>, patience: Patience): Promise<T | undefined> {
  const { signal, logger, limitMs, onReachable } = patience;
  const giveUpAt = performance.now() + limitMs;
  let isSaid = false;
  const complain = (what: string) => {
    if (!isSaid && !signal.aborted) {
      isSaid = true;
      onReachable?.(false);
      logger.warn(`${what} Trying again.`);
    }
  };
  const timer = setTimeout(() => complain(`Kafka has not answered for ${SILENCE_MS / 1000} seconds.`), SILENCE_MS);
  try {
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      try {
        const result = await step();
        if (isSaid) {
          logger.info("Kafka answers again.");
          onReachable?.(true);
        }
        return result;
      } catch (cause) {
        if (signal.aborted) {
          return undefined;
        }
        if (!passesByItself(cause) || performance.now() + pauseMs > giveUpAt) {
          throw cause;
        }
        complain(`${cause.code}: ${cause.message}`);
        await pause(pauseMs, signal);
      }
    }
  } finally {
    clearTimeout(timer);
  }
  return undefined;
}
