// Reads the schemas topic as far as events need it: a schema is committed with the first event that names it, but each
// partition shows a commit in its own time, so a reader that meets an id it doesn't know waits for it.
import { AfterimageError } from "../../errors.ts";
import type { ChangeEvent } from "../../event/change-event.ts";
import { parseSchema } from "../../event/schema.ts";
import type { EventDecoder } from "../values/event-decoder.ts";
import type { LogReader } from "./log-reader.ts";
import { type Patience, patiently, pause } from "./patience.ts";

const FETCH_WAIT_MS = 500;
const LOOK_AGAIN_MS = 200;
/** A commit's markers are at most some seconds apart, also while brokers restart. */
const LONGEST_WAIT_MS = 60_000;

export class SchemaReader {
  readonly #decoder: EventDecoder;
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #patience: Omit<Patience, "limitMs">;
  readonly #longestWaitMs: number;
  #offset: bigint | null = null;

  constructor(
    decoder: EventDecoder,
    reader: LogReader,
    topic: string,
    patience: Omit<Patience, "limitMs">,
    longestWaitMs = LONGEST_WAIT_MS,
  ) {
    this.#decoder = decoder;
    this.#reader = reader;
    this.#topic = topic;
    this.#patience = patience;
    this.#longestWaitMs = longestWaitMs;
  }

  knows(event: ChangeEvent): boolean {
    return this.#decoder.knows(event);
  }

  decode<Event extends ChangeEvent>(event: Event): Event {
    return this.#decoder.decode(event);
  }

  /**
   * Reads on until the event's schema is known; false when the consumer stops before.
   * @throws SCHEMA_UNKNOWN when it does not come
   */
  async learnOf(event: ChangeEvent): Promise<boolean> {
    const giveUpAt = performance.now() + this.#longestWaitMs;
    while (!this.#decoder.knows(event)) {
      if (this.#patience.signal.aborted) {
        return false;
      }
      const isAtEnd = await patiently(() => this.#readOnOrWait(), {
        ...this.#patience,
        limitMs: Number.POSITIVE_INFINITY,
      });
      if (isAtEnd === true && performance.now() > giveUpAt && !this.#decoder.knows(event)) {
        throw new AfterimageError(
          "SCHEMA_UNKNOWN",
          `An event of ${event.table} names schema ${event.schema}, which topic ${this.#topic} does not hold.`,
          "The schemas topic lost records or was made again. Rebuild the stream: afterimage drop STREAM --topics.",
        );
      }
    }
    return true;
  }

  async #readOnOrWait(): Promise<boolean> {
    try {
      return await this.#readOn();
    } catch (cause) {
      // A broker that has just started learns of topics a moment later.
      if (!(cause instanceof AfterimageError) || cause.code !== "TOPIC_MISSING") {
        throw cause;
      }
      await pause(LOOK_AGAIN_MS, this.#patience.signal);
      return true;
    }
  }

  /** One fetch; true when nothing was left behind it. */
  async #readOn(): Promise<boolean> {
    this.#offset ??= await this.#reader.earliestOffset(this.#topic, 0);
    const position = { topic: this.#topic, partition: 0, offset: this.#offset };
    const [fetched] = await this.#reader.fetch([position], FETCH_WAIT_MS);
    if (fetched === undefined) {
      return false;
    }
    for (const { value } of fetched.records) {
      this.#decoder.learn(parseSchema(value === null ? "null" : value.toString("utf8")));
    }
    this.#offset = fetched.nextOffset;
    return fetched.nextOffset >= fetched.lastStableOffset;
  }
}
