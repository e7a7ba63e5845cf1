// When to believe that a topic is gone: a broker that has just started, or lags behind, denies topics that exist.
// The cluster's metadata reaches each broker in its own time: https://kafka.apache.org/documentation/#kraft

/** The Kafka layer waits as long before it gives a topic up whose leader it looks for. */
const BELIEVED_AFTER_MS = 5_000;

export class Doubt {
  /** Topic to the time of the first denial, on the monotonic clock. */
  readonly #since = new Map<string, number>();

  /** Kafka denies what it said of the topic before. True when it has done so for long enough, and nothing else. */
  believes(topic: string, now: number): boolean {
    const since = this.#since.get(topic) ?? now;
    this.#since.set(topic, since);
    return now - since >= BELIEVED_AFTER_MS;
  }

  /** The topic was seen as it was. */
  settle(topic: string): void {
    this.#since.delete(topic);
  }

  /** Kafka did not answer: time that passes so is no evidence, and the broker that answers next may have just started. */
  beginAgain(): void {
    this.#since.clear();
  }
}
