// What a fault may touch: the servers, the network between them and the processes, and the processes.
import type { OwnServer } from "../../dev/servers/servers.ts";
import type { SpawnedDaemon } from "../support/daemon.ts";
import type { KafkaProxy } from "../support/kafka-proxy.ts";
import type { TcpProxy } from "../support/tcp-proxy.ts";

/** A server whose process can be stopped in the middle of whatever it does. */
export interface FreezableServer extends OwnServer {
  /** SIGSTOP to all its processes. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** The file that it writes its log to. */
  readonly log: string;
}

export interface KafkaNode extends FreezableServer {
  /** The folder with its records. */
  readonly data: string;
}

export interface KafkaCluster {
  /** Each on an address of its own; by node id from 1. */
  readonly nodes: readonly KafkaNode[];
  readonly brokers: string[];
  remove(): Promise<void>;
}

export interface World {
  readonly postgres: FreezableServer;
  readonly kafka: KafkaCluster;
  /** Between daemon and Postgres. */
  readonly postgresProxy: TcpProxy;
  /** Between daemon and brokers. */
  readonly kafkaProxy: KafkaProxy;
  readonly stream: string;
  /** A topic of the stream that rows are written to. */
  readonly topic: string;
  /** The daemon that streams, or tries to. */
  readonly daemon: SpawnedDaemon;
  /** The process that keeps the view. */
  readonly view: SpawnedDaemon;
  /** Starts the daemon again after it ended; with more environment when a fault needs some. */
  startDaemon(environment?: Record<string, string>): Promise<SpawnedDaemon>;
  /** A second daemon on the same stream; it becomes `daemon` when `promote` is called. */
  startSecond(): Promise<{ daemon: SpawnedDaemon; promote(): void }>;
  startView(environment?: Record<string, string>): Promise<SpawnedDaemon>;
  /** On a connection of its own, past the proxy. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /**
   * From now until what it gives is called nothing can get through to Kafka, whatever the daemon tries: it must soon say
   * so.
   */
  nothingGetsThrough(): () => void;
  /** Resolves when everything that is committed now is published. */
  caughtUp(timeoutMs?: number): Promise<void>;
  sleep(ms: number): Promise<void>;
}

export type Parameters = Readonly<Record<string, string | number>>;

export interface Fault {
  readonly name: string;
  /** What it needs: a three-node cluster, or the right to mount a file system; the schedule leaves it out where that is missing. */
  readonly needs?: "cluster" | "mount";
  /** How long catching up may take after it is healed; 30,000 by default, as docs/guarantees.md has it. */
  readonly boundMs?: number;
  /** The same where Kafka has three nodes. */
  readonly clusterBoundMs?: number;
  /** Error codes with which a process may end under it; none by default: whoever ends by itself has failed. */
  readonly allows?: readonly string[];
  /** All that is random in it, as JSON. */
  plan(random: { int(low: number, high: number): number; pick<T>(items: readonly T[]): T }): Parameters;
  /**
   * Brings it about under load and heals it: at the end servers run, the network works, one daemon and one view run.
   * Gives false when it came to nothing, as when the process was not where it was to be struck.
   */
  strike(world: World, parameters: Parameters): Promise<unknown>;
}
