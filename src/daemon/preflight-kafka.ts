// Whether Kafka answers: waits for brokers that are not up yet, and names why there is no connection.
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "../config/config.ts";
import { AfterimageError } from "../errors.ts";
import { KafkaConnection, type KafkaSettings } from "../kafka/connection.ts";
import { type Finding, problem } from "../source/finding.ts";

export interface KafkaPatience {
  readonly waitMs: number;
  readonly onWaiting?: (line: string) => void;
  /** Ends the waiting; what was found so far counts. */
  readonly signal?: AbortSignal;
}

export function kafkaSettings({ brokers, clientId, ssl, sasl }: Config["kafka"]): KafkaSettings {
  return { brokers, clientId, ssl, ...(sasl === undefined ? {} : { sasl }) };
}

const RETRY_EVERY_MS = 500;

/** The connection, or the finding that says why there is none. A broker that refuses a login is not waited for. */
export async function connectKafka(
  settings: KafkaSettings,
  patience: KafkaPatience,
): Promise<{ connection: KafkaConnection } | { finding: Finding }> {
  const started = performance.now();
  const deadline = started + patience.waitMs;
  for (let attempts = 0; ; attempts++) {
    try {
      return { connection: await KafkaConnection.connect({ ...settings, requestTimeoutMs: 10_000 }) };
    } catch (error) {
      if (!(error instanceof AfterimageError)) throw error;
      const over = performance.now() >= deadline || patience.signal?.aborted === true;
      if (error.code !== "KAFKA_UNREACHABLE" || over) {
        const waited = Math.round((performance.now() - started) / 1000);
        const tried = error.code === "KAFKA_UNREACHABLE" && waited > 0 ? ` Tried for ${waited} s.` : "";
        return { finding: problem(error.code, `${error.message}${tried}`, error.advice) };
      }
      if (attempts === 0) {
        patience.onWaiting?.(
          `Kafka at ${settings.brokers.join(", ")} does not answer yet; trying for ${Math.ceil(patience.waitMs / 1000)} s.`,
        );
      }
    }
    const pause = Math.min(RETRY_EVERY_MS, Math.max(1, deadline - performance.now()));
    await sleep(pause, undefined, {
      ref: true,
      ...(patience.signal === undefined ? {} : { signal: patience.signal }),
    }).catch(
      () => undefined, // the signal: the next round reports
    );
  }
}
