// What ordinary read_committed consumers (kafkajs) get of a stream: all of it at the end, and by a reader that followed
// the topics all the time, whatever happened to the brokers meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import { type Consumer, Kafka, type KafkaMessage, logLevel } from "kafkajs";
import { unique } from "../../dev/servers/database.ts";
import { settledTransactions } from "../../dev/servers/settled.ts";
import { kafkaClient, listTopics } from "../../dev/servers/topics.ts";
import { waitFor } from "../../dev/servers/wait-for.ts";
import type { Evidence, ReadRecord } from "./evidence.ts";

const READ_MS = 120_000;
const DISCOVER_MS = 1_000;
const RESTART_MS = 500;
/** A consumer whose broker is gone may hang in its goodbye. */
const GOODBYE_MS = 5_000;
/**
 * kafkajs waits for up to half a minute by default, and begins again in its old group, whose coordinator then waits for
 * the member that is gone: here a crash leads to a new group.
 */
const RETRY = { initialRetryTime: 200, maxRetryTime: 1_000, retries: 5, restartOnFailure: async () => false };

/** Everything committed now in the topics of the tables, of progress and of schemas. */
export async function readStream(
  brokers: readonly string[],
  stream: string,
): Promise<Pick<Evidence, "records" | "progress" | "schemas">> {
  const topics = await listTopics([...brokers], `${stream}.`);
  const reader = new TopicsReader(brokers, topics);
  try {
    await reader.start();
    const ends = await endsOf(brokers, topics);
    await reader.reached(ends);
  } finally {
    await reader.stop();
  }
  const byTopic = Map.groupBy(reader.records, ({ topic }) => topic);
  const [progress = [], schemas = []] = [progressTopicOf, schemasTopicOf].map((name) => {
    const own = byTopic.get(name(stream));
    byTopic.delete(name(stream));
    return own;
  });
  return { records: [...byTopic.values()].flat(), progress, schemas };
}

/** Follows a stream's topics from their beginning, also those that are made later. */
export class Follower {
  readonly #brokers: readonly string[];
  readonly #stream: string;
  readonly #readers: TopicsReader[] = [];
  readonly #known = new Set<string>();
  #discovery: Promise<void> | null = null;
  readonly #over = new AbortController();

  private constructor(brokers: readonly string[], stream: string) {
    this.#brokers = brokers;
    this.#stream = stream;
  }

  /** Resolves when the topics that are there now are being read. */
  static async start(brokers: readonly string[], stream: string): Promise<Follower> {
    const follower = new Follower(brokers, stream);
    await follower.#discover();
    follower.#discovery = follower.#keepDiscovering();
    return follower;
  }

  /** In the order in which they came, topic by topic; one that came again unchanged stands once. */
  get records(): ReadRecord[] {
    return this.#readers.flatMap((reader) => reader.records);
  }

  /** Resolves when everything that is committed now was read. */
  async reached(timeout = READ_MS): Promise<void> {
    await this.#discover();
    const ends = await endsOf(this.#brokers, [...this.#known]);
    await Promise.all(this.#readers.map((reader) => reader.reached(ends, timeout)));
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#discovery;
    await Promise.all(this.#readers.map((reader) => reader.stop()));
  }

  async #keepDiscovering(): Promise<void> {
    while (!this.#over.signal.aborted) {
      // Brokers are down now and then: that look is left out.
      await this.#discover().catch(() => undefined);
      await sleep(DISCOVER_MS, undefined, { signal: this.#over.signal }).catch(() => undefined);
    }
  }

  async #discover(): Promise<void> {
    const fresh = (await topicsOf(this.#brokers, this.#stream)).filter((topic) => !this.#known.has(topic));
    if (fresh.length === 0 || this.#over.signal.aborted) return;
    for (const topic of fresh) this.#known.add(topic);
    const reader = new TopicsReader(this.#brokers, fresh);
    this.#readers.push(reader);
    await reader.start();
  }
}

/** One consumer group of its own, without committed offsets: one that starts again reads from the beginning. */
class TopicsReader {
  readonly records: ReadRecord[] = [];
  readonly #brokers: readonly string[];
  readonly #topics: readonly string[];
  readonly #seen = new Map<string, Map<bigint, ReadRecord>>();
  /** The offset after the last one that was looked at, aborted and control records included. */
  readonly #next = new Map<string, bigint>();
  readonly #groups: string[] = [];
  #consumer: Consumer | null = null;
  #over = false;

  constructor(brokers: readonly string[], topics: readonly string[]) {
    this.#brokers = brokers;
    this.#topics = topics;
  }

  /** Tries until brokers answer. */
  async start(): Promise<void> {
    while (!this.#over) {
      try {
        return await this.#consume();
      } catch {
        await goodbye(this.#consumer);
        await sleep(RESTART_MS);
      }
    }
  }

  async #consume(): Promise<void> {
    const groupId = unique("follow");
    this.#groups.push(groupId);
    const own = { clientId: groupId, brokers: [...this.#brokers], logLevel: logLevel.NOTHING };
    const kafka = new Kafka({ ...own, retry: RETRY });
    const consumer = kafka.consumer({ groupId, readUncommitted: false, maxWaitTimeInMs: 200, retry: RETRY });
    this.#consumer = consumer;
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) void this.#restart(consumer);
    });
    // A batch may end in records that are aborted or control records: only its last offset tells how far it read.
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { topic, partition, lastOffset } }) => {
      const name = `${topic}/${partition}`;
      const next = BigInt(lastOffset) + 1n;
      if (next > (this.#next.get(name) ?? 0n)) this.#next.set(name, next);
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [...this.#topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        for (const message of batch.messages) this.#take(batch.topic, batch.partition, message);
      },
    });
  }

  async reached(ends: ReadonlyMap<string, bigint>, timeout = READ_MS): Promise<void> {
    const own = [...ends].filter(([name]) => this.#topics.includes(name.slice(0, name.lastIndexOf("/"))));
    const missing = () => own.filter(([name, end]) => (this.#next.get(name) ?? 0n) < end);
    await waitFor(() => missing().length === 0, { what: "the end of a stream's topics", timeout }).catch((cause) => {
      const [name, end] = missing()[0] ?? [];
      throw new Error(`${name} was read to ${this.#next.get(name!) ?? 0n} of ${end}.`, { cause });
    });
  }

  async stop(): Promise<void> {
    this.#over = true;
    await goodbye(this.#consumer);
    const admin = kafkaClient([...this.#brokers]).admin();
    try {
      await admin.connect();
      await admin.deleteGroups(this.#groups);
    } catch {
      // A group whose consumer could not say goodbye is not empty: it goes by itself.
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  async #restart(crashed: Consumer): Promise<void> {
    await goodbye(crashed);
    if (this.#consumer === crashed) await this.start();
  }

  #take(topic: string, partition: number, message: KafkaMessage): void {
    const { producerId, producerEpoch } = batchOf(message);
    const offset = BigInt(message.offset);
    const [key, value] = [message.key?.toString() ?? null, message.value?.toString() ?? null];
    const name = `${topic}/${partition}`;
    const own = this.#seen.get(name) ?? new Map<bigint, ReadRecord>();
    this.#seen.set(name, own);
    const known = own.get(offset);
    const isSame =
      known?.value === value &&
      known.key === key &&
      known.producerId === producerId &&
      known.producerEpoch === producerEpoch;
    if (known !== undefined && isSame) return;
    const record = { topic, partition, offset, key, value, producerId, producerEpoch };
    own.set(offset, record);
    this.records.push(record);
  }
}

/** kafkajs hands the batch's header to each message; its types don't say so. */
function batchOf(message: KafkaMessage): { producerId: string; producerEpoch: number } {
  const { batchContext } = message as { batchContext?: { producerId: string; producerEpoch: number } };
  if (batchContext === undefined) throw new Error("kafkajs no longer tells who produced a record.");
  return batchContext;
}

async function goodbye(consumer: Consumer | null): Promise<void> {
  const over = new AbortController();
  const patience = sleep(GOODBYE_MS, undefined, { signal: over.signal }).catch(() => undefined);
  await Promise.race([consumer?.disconnect().catch(() => undefined), patience]);
  over.abort();
}

const progressTopicOf = (stream: string): string => `${stream}.progress`;
const schemasTopicOf = (stream: string): string => `${stream}.schemas`;

async function topicsOf(brokers: readonly string[], stream: string): Promise<string[]> {
  return (await listTopics([...brokers], `${stream}.`)).filter((topic) => topic !== schemasTopicOf(stream));
}

/** Where each partition that holds something ends for readers, once all markers are written; by `topic/partition`. */
async function endsOf(brokers: readonly string[], topics: readonly string[]): Promise<Map<string, bigint>> {
  await settledTransactions([...brokers], READ_MS);
  const admin = kafkaClient([...brokers]).admin();
  await admin.connect();
  try {
    const ends = new Map<string, bigint>();
    for (const topic of topics) {
      // kafkajs asks for the last stable offset and calls it "high".
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        if (BigInt(high) > BigInt(low)) ends.set(`${topic}/${partition}`, BigInt(high));
      }
    }
    return ends;
  } finally {
    await admin.disconnect();
  }
}
