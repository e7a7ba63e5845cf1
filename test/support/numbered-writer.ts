// Writes numbered records exactly once through whatever happens, as the daemon's sink does: after an unknown outcome
// it initialises itself anew and asks the progress topic whether the transaction counts.
import { AfterimageError } from "../../src/errors.ts";
import { readLastCommitted } from "../../src/kafka/committed-reader.ts";
import type { KafkaConnection } from "../../src/kafka/connection.ts";
import { AmbiguousOutcome } from "../../src/kafka/errors.ts";
import type { TransactionalProducer } from "../../src/kafka/transactional-producer.ts";
import { records } from "./kafka-fixture.ts";
import { waitFor } from "./wait-for.ts";

const RETRIABLE = new Set(["KAFKA_UNREACHABLE", "KAFKA_NOT_READY"]);

export class NumberedWriter {
  readonly #connection: KafkaConnection;
  readonly #producer: TransactionalProducer;
  readonly #topic: string;
  readonly #progressTopic: string;
  ambiguities = 0;

  constructor(connection: KafkaConnection, producer: TransactionalProducer, topic: string, progressTopic: string) {
    this.#connection = connection;
    this.#producer = producer;
    this.#topic = topic;
    this.#progressTopic = progressTopic;
  }

  /** Resolves when `number` is committed, once, to partitions 0 and 1. */
  async write(number: number): Promise<void> {
    for (;;) {
      try {
        await this.#producer.begin([{ topic: this.#progressTopic, partition: 0 }]);
        await this.#producer.produce(records(this.#topic, { 0: [`${number}`], 1: [`${number}`] }));
        await this.#producer.produce(records(this.#progressTopic, { 0: [`${number}`] }));
        await this.#producer.commit();
        return;
      } catch (error) {
        if (!(error instanceof AmbiguousOutcome)) {
          throw error;
        }
        this.ambiguities++;
        await this.#whenItAnswers(() => this.#producer.reinitialise());
        const last = await this.#whenItAnswers(() => readLastCommitted(this.#connection, this.#progressTopic, 0));
        if (last?.value?.toString() === `${number}`) {
          return;
        }
      }
    }
  }

  async #whenItAnswers<T>(ask: () => Promise<T>): Promise<T> {
    const { answer } = await waitFor(
      async () => {
        try {
          return { answer: await ask() };
        } catch (error) {
          if (error instanceof AfterimageError && RETRIABLE.has(error.code)) {
            return undefined;
          }
          throw error;
        }
      },
      { what: "Kafka to answer" },
    );
    return answer;
  }
}
