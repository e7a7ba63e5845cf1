// A Kafka cluster as seen from here: which broker leads which partition, and links to them that are free.
// No retries hide in here: a request is sent once, and the caller decides what its failure means.
import { AfterimageError } from "../errors.ts";
import { BrokerLink, type Link, type OpenLink } from "./broker-link.ts";
import { Again, Deadline, untilDeadline } from "./deadline.ts";
import { NoReply, notReady, refused, unreachable } from "./errors.ts";
import { ErrorCode, isCoordinatorError, isLeaderError } from "./protocol/error-code.ts";
import { type ClusterMetadata, findTransactionCoordinator, metadata } from "./protocol/metadata.ts";
import type { KafkaRequest } from "./protocol/request.ts";
import type { TopicPartition } from "./protocol/transaction.ts";
import { type BrokerAddress, formatBrokerAddress, type KafkaSettings, parseBrokerAddress } from "./settings.ts";

export type { KafkaSettings } from "./settings.ts";

/** How long a topic may look absent before it is: brokers learn of a new one a moment later. */
const ABSENT_FOR_MS = 5_000;
const LOOK_AGAIN_MS = 50;

export class KafkaConnection {
  readonly requestTimeoutMs: number;
  readonly #settings: KafkaSettings;
  readonly #openLink: OpenLink;
  readonly #connectionTimeoutMs: number;
  readonly #seeds: readonly BrokerAddress[];
  readonly #nodes = new Map<number, BrokerAddress>();
  /** Topic to partition to node id. */
  readonly #leaders = new Map<string, Map<number, number>>();
  readonly #coordinators = new Map<string, number>();
  readonly #free = new Map<string, Link[]>();
  readonly #busy = new Set<Link>();
  readonly #closing = new AbortController();

  private constructor(settings: KafkaSettings, openLink: OpenLink) {
    this.#settings = settings;
    this.#openLink = openLink;
    this.#seeds = settings.brokers.map(parseBrokerAddress);
    this.#connectionTimeoutMs = settings.connectionTimeoutMs ?? 5_000;
    this.requestTimeoutMs = settings.requestTimeoutMs ?? 20_000;
  }

  /**
   * Reaches one of the brokers and learns of the others; an abort of `signal` ends the attempt.
   * Throws KAFKA_UNREACHABLE, KAFKA_TLS_FAILED, KAFKA_AUTHENTICATION_FAILED or KAFKA_ADDRESS_INVALID.
   */
  static async connect(
    settings: KafkaSettings,
    signal?: AbortSignal,
    openLink: OpenLink = BrokerLink.open,
  ): Promise<KafkaConnection> {
    const connection = new KafkaConnection(settings, openLink);
    const giveUp = () => void connection.close();
    signal?.addEventListener("abort", giveUp);
    try {
      signal?.throwIfAborted();
      await connection.metadata([]);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  /** Ends all connections at once; requests under way get NoReply. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const link of [...this.#busy, ...[...this.#free.values()].flat()]) {
      link.close();
    }
    this.#free.clear();
  }

  /** Sends once. Throws NoReply when no answer came; what this node led or coordinated is looked up anew then. */
  async send<Reply>(nodeId: number, request: KafkaRequest<Reply>): Promise<Reply> {
    try {
      const address = this.#nodes.get(nodeId);
      if (address === undefined) {
        throw unreachable(`Kafka names broker ${nodeId}, but not where it is.`, false);
      }
      return await this.#sendTo(address, request, this.requestTimeoutMs);
    } catch (error) {
      if (error instanceof NoReply) {
        this.#forgetNode(nodeId);
      }
      throw error;
    }
  }

  /** Sends to any broker that answers; for requests that may be repeated. */
  async sendToAny<Reply>(request: KafkaRequest<Reply>): Promise<Reply> {
    const deadline = new Deadline(this.requestTimeoutMs);
    const failures: NoReply[] = [];
    const candidates = this.#candidates();
    for (const [index, address] of candidates.entries()) {
      // A broker that hangs must leave time to ask the others.
      const isLast = index === candidates.length - 1;
      const patience = isLast ? deadline.left : Math.min(deadline.left, this.#connectionTimeoutMs);
      try {
        return await this.#sendTo(address, request, Math.max(1, patience));
      } catch (error) {
        if (!(error instanceof NoReply)) {
          throw error;
        }
        failures.push(error);
        if (deadline.passed || this.#closing.signal.aborted) {
          break;
        }
      }
    }
    throw failures.length === 1 ? failures[0]! : unreachable(failures.map(({ message }) => message).join(" "), false);
  }

  /** Reads metadata afresh (null: of all topics) and remembers brokers and leaders. Creates nothing. */
  async metadata(topics: readonly string[] | null): Promise<ClusterMetadata> {
    const found = await this.sendToAny(metadata(topics));
    if (found.brokers.length > 0) {
      this.#nodes.clear();
    }
    for (const { nodeId, host, port } of found.brokers) {
      this.#nodes.set(nodeId, { host, port });
    }
    for (const topic of found.topics) {
      this.#leaders.set(
        topic.name,
        new Map(
          topic.partitions.filter(({ leader }) => leader >= 0).map(({ partition, leader }) => [partition, leader]),
        ),
      );
    }
    return found;
  }

  /** Throws TOPIC_MISSING, KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY (no leader) or NoReply. */
  async leaderOf(topic: string, partition: number): Promise<number> {
    return (await this.leadersOf([{ topic, partition }])).keys().next().value!;
  }

  /** Groups partitions by the node that leads them, looking up what is not known. Throws as `leaderOf`. */
  async leadersOf<P extends TopicPartition>(partitions: readonly P[]): Promise<Map<number, P[]>> {
    const whole = new Deadline(this.requestTimeoutMs);
    const absent = new Deadline(Math.min(ABSENT_FOR_MS, this.requestTimeoutMs));
    return untilDeadline(whole, async () => {
      const unknown = partitions.filter((place) => this.#knownLeader(place) === undefined);
      if (unknown.length === 0) {
        return Map.groupBy(partitions, (place) => this.#knownLeader(place)!);
      }
      const { topics } = await this.metadata([...new Set(unknown.map(({ topic }) => topic))]);
      const stillUnknown = unknown.find((place) => this.#knownLeader(place) === undefined);
      if (stillUnknown === undefined) {
        return Map.groupBy(partitions, (place) => this.#knownLeader(place)!);
      }
      const resource = `topic ${stillUnknown.topic} partition ${stillUnknown.partition}`;
      const found = topics.find(({ name }) => name === stillUnknown.topic);
      const error =
        found?.error || // 0: the topic is there, so ask for the partition
        (found?.partitions.find(({ partition }) => partition === stillUnknown.partition)?.error ??
          ErrorCode.UNKNOWN_TOPIC_OR_PARTITION);
      const missing = error === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION;
      if ((missing && absent.passed) || (!missing && error !== 0 && !isLeaderError(error))) {
        throw refused(error, "Metadata", resource);
      }
      return new Again(notReady(error || ErrorCode.LEADER_NOT_AVAILABLE, "Metadata", resource), LOOK_AGAIN_MS);
    });
  }

  /** Their leaders are looked up again when next asked for. */
  forgetLeaders(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      this.#leaders.get(topic)?.delete(partition);
    }
  }

  /** The node that keeps the transactions of this id. Throws KAFKA_NOT_AUTHORIZED, KAFKA_NOT_READY or NoReply. */
  async coordinatorOf(transactionalId: string): Promise<number> {
    const known = this.#coordinators.get(transactionalId);
    if (known !== undefined) {
      return known;
    }
    const resource = `transactional id ${transactionalId}`;
    return untilDeadline(new Deadline(this.requestTimeoutMs), async () => {
      const found = await this.sendToAny(findTransactionCoordinator(transactionalId));
      if (found.error === ErrorCode.NONE) {
        this.#nodes.set(found.nodeId, { host: found.host, port: found.port });
        this.#coordinators.set(transactionalId, found.nodeId);
        return found.nodeId;
      }
      if (!isCoordinatorError(found.error)) {
        throw refused(found.error, "FindCoordinator", resource);
      }
      return new Again(notReady(found.error, "FindCoordinator", resource), LOOK_AGAIN_MS);
    });
  }

  forgetCoordinator(transactionalId: string): void {
    this.#coordinators.delete(transactionalId);
  }

  #forgetNode(nodeId: number): void {
    for (const partitions of this.#leaders.values()) {
      for (const [partition, leader] of partitions) {
        if (leader === nodeId) {
          partitions.delete(partition);
        }
      }
    }
    for (const [transactionalId, coordinator] of this.#coordinators) {
      if (coordinator === nodeId) {
        this.#coordinators.delete(transactionalId);
      }
    }
  }

  #knownLeader({ topic, partition }: TopicPartition): number | undefined {
    return this.#leaders.get(topic)?.get(partition);
  }

  async #sendTo<Reply>(address: BrokerAddress, request: KafkaRequest<Reply>, timeoutMs: number): Promise<Reply> {
    const link = await this.#take(address, timeoutMs);
    this.#busy.add(link);
    try {
      return await link.send(request, timeoutMs + (request.waitMs ?? 0));
    } finally {
      this.#busy.delete(link);
      this.#giveBack(link);
    }
  }

  async #take(address: BrokerAddress, timeoutMs: number): Promise<Link> {
    const free = this.#free.get(formatBrokerAddress(address)) ?? [];
    for (let link = free.pop(); link !== undefined; link = free.pop()) {
      if (link.usable) {
        return link;
      }
      link.close();
    }
    if (this.#closing.signal.aborted) {
      throw new AfterimageError("KAFKA_CLOSED", "The connection to Kafka was closed.", "Connect again.");
    }
    const patience = Math.min(this.#connectionTimeoutMs, timeoutMs);
    return this.#openLink(address, this.#settings, patience, this.#closing.signal);
  }

  #giveBack(link: Link): void {
    if (!link.usable || this.#closing.signal.aborted) {
      link.close();
      return;
    }
    const where = formatBrokerAddress(link.address);
    const free = this.#free.get(where);
    if (free === undefined) {
      this.#free.set(where, [link]);
    } else {
      free.push(link);
    }
  }

  /** Brokers with a free link first, then the others, the configured ones last; none twice. */
  #candidates(): BrokerAddress[] {
    const all = [...this.#nodes.values(), ...this.#seeds];
    const linked = all.filter((address) => this.#free.get(formatBrokerAddress(address))?.some(({ usable }) => usable));
    return [...new Map([...linked, ...all].map((address) => [formatBrokerAddress(address), address])).values()];
  }
}
