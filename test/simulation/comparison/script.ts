// A script of requests drawn from a seed: two producers that share a transactional id do what producers do, and what they
// must not do. Played against any broker, it gives one line for each answer, and what a read_committed reader sees at last.

import { fetchPartitions } from "../../../src/kafka/committed-reader.ts";
import type { KafkaConnection } from "../../../src/kafka/connection.ts";
import { fetchOffsets } from "../../../src/kafka/offsets.ts";
import { ErrorCode } from "../../../src/kafka/protocol/error-code.ts";
import { produce } from "../../../src/kafka/protocol/produce.ts";
import {
  addPartitionsToTransaction,
  endTransaction,
  initProducerId,
  NO_IDENTITY,
  type ProducerIdentity,
} from "../../../src/kafka/protocol/transaction.ts";
import { MeasuredRecords } from "../../../src/kafka/record-batch.ts";
import { type Random, seeded } from "../../torture/random.ts";

export interface Stage {
  readonly connection: KafkaConnection;
  readonly topic: string;
  readonly transactionalId: string;
}

interface Actor {
  readonly name: string;
  identity: ProducerIdentity;
  /** The next sequence number of each partition. */
  next: number[];
  /** First sequence number and size of the batch sent last to each. */
  last: ({ first: number; count: number } | undefined)[];
}

const PARTITIONS = [0, 1];
const STEPS = [
  ...["add", "add", "add", "add"],
  ...["produce", "produce", "produce", "produce", "produce", "produce", "produce", "produce"],
  ...["commit", "commit", "abort", "own", "new"],
];
const TIMEOUT_MS = 60_000;
const EXPIRY_MS = 1_000;
/** A leader says NOT_ENOUGH_REPLICAS while the coordinator is still writing markers; the last four are those of a start. */
const NOT_YET = new Set<number>([
  ErrorCode.CONCURRENT_TRANSACTIONS,
  ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
  ErrorCode.COORDINATOR_NOT_AVAILABLE,
  ErrorCode.NOT_COORDINATOR,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
]);
const AGAIN_MS = 5;

export async function play(stage: Stage, seed: number, length: number): Promise<string[]> {
  return new Script(stage, seeded(seed), TIMEOUT_MS).run(length);
}

/** A transaction that its coordinator gives up, and what its owner and a stranger hear afterwards. */
export async function playExpiry(stage: Stage): Promise<string[]> {
  return new Script(stage, seeded(0), EXPIRY_MS).runExpiry();
}

class Script {
  readonly #stage: Stage;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #lines: string[] = [];
  /** Producer ids in the order in which they came. */
  readonly #ids: bigint[] = [];
  readonly #actors: Actor[] = ["A", "B"].map((name) => ({ name, identity: NO_IDENTITY, next: [0, 0], last: [] }));
  /** Who initialised last. */
  #owner = this.#actors[0]!;
  #values = 0;

  constructor(stage: Stage, random: Random, timeoutMs: number) {
    this.#stage = stage;
    this.#random = random;
    this.#timeoutMs = timeoutMs;
  }

  async run(length: number): Promise<string[]> {
    for (const actor of this.#actors) {
      await this.#init(actor, NO_IDENTITY);
    }
    for (let step = 0; step < length; step++) {
      await this.#step(this.#random.chance(0.85) ? this.#owner : this.#random.pick(this.#actors));
    }
    await this.#init(this.#actors[1]!, NO_IDENTITY);
    await this.#read();
    return this.#lines;
  }

  async runExpiry(): Promise<string[]> {
    const [owner, stranger] = this.#actors as [Actor, Actor];
    await this.#init(stranger, NO_IDENTITY);
    await this.#init(owner, NO_IDENTITY);
    await this.#add(owner, [0, 1]);
    await this.#produce(owner, 0);
    await this.#allMarked();
    const late = { ...owner, next: [...owner.next], last: [...owner.last] };
    await this.#produce(late, 0);
    await this.#add(late, [0]);
    await this.#end(late, true);
    await this.#init(stranger, stranger.identity);
    await this.#init(owner, owner.identity);
    await this.#produce(late, 0);
    await this.#add(owner, [0]);
    await this.#produce(owner, 0);
    await this.#end(owner, true);
    await this.#read();
    return this.#lines;
  }

  #step(actor: Actor): Promise<void> {
    const random = this.#random;
    switch (random.pick(STEPS)) {
      case "add":
        return this.#add(actor, random.pick([[0], [1], [0, 1]]));
      case "produce":
        return this.#produce(actor, random.pick(PARTITIONS));
      case "commit":
        return this.#end(actor, true);
      case "abort":
        return this.#end(actor, false);
      case "own":
        return this.#init(actor, actor.identity);
      default:
        return this.#init(actor, NO_IDENTITY);
    }
  }

  async #init(actor: Actor, identity: ProducerIdentity): Promise<void> {
    const { transactionalId } = this.#stage;
    const request = initProducerId(transactionalId, this.#timeoutMs, identity);
    const { error, ...given } = await this.#ask(() => this.#toCoordinator(request));
    if (error === ErrorCode.NONE) {
      this.#owner = actor;
      actor.identity = given;
      actor.next = [0, 0];
      actor.last = [];
    }
    this.#tell(actor, identity === NO_IDENTITY ? "init" : "own init", error, this.#show(given));
  }

  async #add(actor: Actor, partitions: number[]): Promise<void> {
    const { topic, transactionalId } = this.#stage;
    const places = partitions.map((partition) => ({ topic, partition }));
    const request = addPartitionsToTransaction(transactionalId, actor.identity, places);
    const { error } = await this.#ask(async () => ({ error: (await this.#toCoordinator(request))[0]!.error }));
    this.#tell(actor, `add ${partitions}`, error);
  }

  async #end(actor: Actor, commit: boolean): Promise<void> {
    const request = endTransaction(this.#stage.transactionalId, actor.identity, commit);
    const { error } = await this.#ask(() => this.#toCoordinator(request));
    this.#tell(actor, commit ? "commit" : "abort", error);
    await this.#settle();
  }

  async #produce(actor: Actor, partition: number): Promise<void> {
    const { topic, transactionalId, connection } = this.#stage;
    const how = this.#random.pick(["next", "next", "next", "repeat", "gap"]);
    const repeated = how === "repeat" ? actor.last[partition] : undefined;
    const count = repeated?.count ?? this.#random.int(1, 3);
    const first = repeated?.first ?? actor.next[partition]! + (how === "gap" ? 7 : 0);
    const values = Array.from({ length: count }, () => ({ key: null, value: `${actor.name}${++this.#values}` }));
    const records = new MeasuredRecords(values);
    const { bytes } = records.fit(0, 1_000_000);
    const owner = { ...actor.identity, baseSequence: first };
    const write = (buffer: Buffer, at: number) => void records.encode(buffer, at, 0, count, owner, Date.now());
    const request = produce(transactionalId, 5_000, [{ topic, partition, bytes, write }]);
    const { error, baseOffset } = await this.#ask(async () => {
      const [reply] = await connection.send(await connection.leaderOf(topic, partition), request);
      return reply!;
    });
    if (error === ErrorCode.NONE && repeated === undefined) {
      actor.next[partition] = first + count;
      actor.last[partition] = { first, count };
    }
    this.#tell(actor, `produce ${how} ${partition} #${first}+${count}`, error, `@${baseOffset}`);
  }

  async #read(): Promise<void> {
    await this.#settle();
    const { topic, connection } = this.#stage;
    for (const partition of PARTITIONS) {
      const { lastStable, highWatermark } = await fetchOffsets(connection, topic, partition);
      const seen: string[] = [];
      for (let offset = 0n; offset < lastStable; ) {
        const [fetched] = await fetchPartitions(connection, [{ topic, partition, offset }]);
        seen.push(...fetched!.records.map((record) => `${record.offset}=${record.value}`));
        offset = fetched!.nextOffset;
      }
      this.#lines.push(`${partition}: ${seen.join(" ")} up to ${lastStable} of ${highWatermark}`);
    }
  }

  /** Waits until the markers of ended transactions are written: how long they take is nobody's promise. */
  async #settle(): Promise<void> {
    const last = this.#lines.findLast((line) => /(init|add|commit|abort).*: 0/.test(line));
    if (last?.includes(" add ") !== true) {
      await this.#allMarked();
    }
  }

  async #allMarked(): Promise<void> {
    const { topic, connection } = this.#stage;
    for (const partition of PARTITIONS) {
      for (;;) {
        const { lastStable, highWatermark } = await fetchOffsets(connection, topic, partition);
        if (lastStable === highWatermark) {
          break;
        }
        await pause();
      }
    }
  }

  /** Repeats what is answered with "not yet". */
  async #ask<Reply extends { error: number }>(send: () => Promise<Reply>): Promise<Reply> {
    for (;;) {
      const reply = await send();
      if (!NOT_YET.has(reply.error)) {
        return reply;
      }
      await pause();
    }
  }

  async #toCoordinator<Reply>(request: Parameters<KafkaConnection["send"]>[1] & { read: (...all: never[]) => Reply }) {
    const { connection, transactionalId } = this.#stage;
    return (await connection.send(await connection.coordinatorOf(transactionalId), request)) as Reply;
  }

  #tell(actor: Actor, what: string, error: number, more = ""): void {
    this.#lines.push(`${actor.name} ${this.#show(actor.identity)} ${what}: ${error} ${more}`.trimEnd());
  }

  #show({ producerId, producerEpoch }: ProducerIdentity): string {
    if (producerId < 0n) {
      return "-";
    }
    if (!this.#ids.includes(producerId)) {
      this.#ids.push(producerId);
    }
    return `${this.#ids.indexOf(producerId)}/${producerEpoch}`;
  }
}

const pause = () => new Promise<void>((resolve) => setTimeout(resolve, AGAIN_MS));
