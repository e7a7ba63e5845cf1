// A Kafka cluster in memory: nodes, topics, who leads what, and the markers of ended transactions on their way to the
// partitions. What was acknowledged is never lost: nodes go away and come back, their logs stay.
import type { ProducerIdentity } from "../../../src/kafka/protocol/transaction.ts";
import type { Random } from "../../torture/random.ts";
import type { Scheduler } from "../scheduler.ts";
import { Coordinator, type Transaction } from "./coordinator.ts";
import { Partition } from "./partition.ts";

export interface Topic {
  readonly name: string;
  readonly id: Buffer;
  readonly partitions: Partition[];
  /** When each node learns of it. */
  readonly knownFrom: ReadonlyMap<number, number>;
}

export interface ClusterOptions {
  readonly nodes: number;
  /** Longest time a marker takes to one partition. */
  readonly markerMs: number;
  readonly committing?: (transaction: Transaction) => void;
  /** A marker has ended what the producer had open in a partition, from an offset on. */
  readonly ended?: (place: string, openFrom: bigint, commit: boolean) => void;
  readonly trace?: (text: string) => void;
}

/** transaction.abort.timed.out.transaction.cleanup.interval.ms */
const EXPIRY_LOOKS_MS = 10_000;
const LONGEST_MARKER_DELAY_MS = 2_000;

export class Cluster {
  readonly topics = new Map<string, Topic>();
  readonly coordinator: Coordinator;
  readonly nodes: readonly number[];
  readonly #down = new Set<number>();
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #trace: (text: string) => void;
  /** Node that keeps the transactions, and until when it still loads them. */
  #coordinatorNode = 1;
  #loadingUntil = 0;
  /** Markers wait at least until then. */
  markersHeldUntil = 0;
  /** Until then each marker is lost by this chance, and its transaction complete all the same, as in Kafka 4.3.1. */
  markersLost = { until: 0, chance: 0 };

  constructor(scheduler: Scheduler, random: Random, options: ClusterOptions) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#trace = options.trace ?? (() => undefined);
    this.nodes = Array.from({ length: options.nodes }, (_, place) => place + 1);
    this.coordinator = new Coordinator({
      writeMarkers: (partitions, owner, commit, completed) =>
        this.#writeMarkers(partitions, owner, commit, options, completed),
      now: () => scheduler.now,
      startTimeout: (timeoutMs, expired) =>
        void scheduler.after(timeoutMs + random.int(0, EXPIRY_LOOKS_MS), null, expired),
      committing: options.committing ?? (() => undefined),
    });
  }

  get coordinatorNode(): number {
    return this.#coordinatorNode;
  }

  get coordinatorLoads(): boolean {
    return this.#scheduler.now < this.#loadingUntil;
  }

  /** No transaction is open anywhere. */
  get isSettled(): boolean {
    return this.#allPartitions().every(({ lastStable, end }) => lastStable === end);
  }

  isUp(node: number): boolean {
    return !this.#down.has(node);
  }

  partition(topic: string, partition: number): Partition | undefined {
    return this.topics.get(topic)?.partitions[partition];
  }

  /** The topics that a node knows. */
  knownTo(node: number): Topic[] {
    return [...this.topics.values()].filter(({ knownFrom }) => knownFrom.get(node)! <= this.#scheduler.now);
  }

  /** Undefined while the node has not heard of it. */
  partitionAt(node: number, topic: string, partition: number): Partition | undefined {
    const found = this.topics.get(topic);
    return found !== undefined && found.knownFrom.get(node)! <= this.#scheduler.now
      ? found.partitions[partition]
      : undefined;
  }

  createTopic(name: string, partitions: number): boolean {
    if (this.topics.has(name)) {
      return false;
    }
    const id = Buffer.alloc(16);
    id.write(name.slice(-16).padStart(16, "-"), "latin1");
    const list = Array.from({ length: partitions }, (_, place) => new Partition(name, place, this.#anyNode()));
    const { now } = this.#scheduler;
    const knownFrom = new Map(this.nodes.map((node) => [node, now + this.#random.pick([0, 5, 400])]));
    this.topics.set(name, { name, id, partitions: list, knownFrom });
    return true;
  }

  stop(node: number): void {
    if (this.#down.size < this.nodes.length - 1) {
      this.#down.add(node);
      this.#trace(`kafka: node ${node} goes away`);
      if (this.#coordinatorNode === node) {
        this.moveCoordinator();
      }
      for (const partition of this.#allPartitions()) {
        if (partition.leader === node) {
          partition.leader = this.#anyNode();
        }
      }
    }
  }

  start(node: number): void {
    if (this.#down.delete(node)) {
      this.#trace(`kafka: node ${node} is back`);
    }
  }

  moveLeaders(): void {
    for (const partition of this.#allPartitions()) {
      if (this.#random.chance(0.5)) {
        partition.leader = this.#anyNode();
      }
    }
    this.#trace("kafka: leaders move");
  }

  moveCoordinator(): void {
    this.#coordinatorNode = this.#anyNode();
    this.#loadingUntil = this.#scheduler.now + this.#random.int(0, 300);
    this.#trace(`kafka: the coordinator moves to node ${this.#coordinatorNode}`);
  }

  #allPartitions(): Partition[] {
    return [...this.topics.values()].flatMap(({ partitions }) => partitions);
  }

  #anyNode(): number {
    return this.#random.pick(this.nodes.filter((node) => this.isUp(node)));
  }

  #writeMarkers(
    partitions: ReadonlySet<string>,
    owner: ProducerIdentity,
    commit: boolean,
    { markerMs, ended }: ClusterOptions,
    completed: () => void,
  ): void {
    const { until, chance } = this.markersLost;
    let left = partitions.size;
    const held = Math.min(LONGEST_MARKER_DELAY_MS, Math.max(0, this.markersHeldUntil - this.#scheduler.now));
    for (const place of partitions) {
      const cut = place.lastIndexOf("/");
      const partition = this.partition(place.slice(0, cut), Number(place.slice(cut + 1)));
      this.#scheduler.after(held + this.#random.int(0, markerMs * 100) / 100, null, () => {
        if (this.#scheduler.now < until && this.#random.chance(chance)) {
          this.#trace(`kafka: ${place} never gets the marker of ${owner.producerId}/${owner.producerEpoch}`);
        } else {
          const openFrom = partition?.openFrom(owner.producerId) ?? null;
          if (partition?.mark(owner, commit) && openFrom !== null) {
            ended?.(place, openFrom, commit);
          }
        }
        left--;
        if (left === 0) {
          completed();
        }
      });
    }
  }
}
