// A daemon's process in the simulation: the product's own sessions one after the other, with the product's own decision
// between trying again, standing by and halting. Killing it leaves nothing of it but what is on its way already.
import type pg from "pg";
import type { Config } from "../../src/config/config.ts";
import type { Before } from "../../src/daemon/catalog-watch.ts";
import type { Connections } from "../../src/daemon/connections.ts";
import { codeOf, decide } from "../../src/daemon/error-policy.ts";
import { StreamSession } from "../../src/daemon/stream-session.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { waitUntilInactive } from "../../src/source/slot.ts";
import type { Random } from "../torture/random.ts";
import type { Network } from "./network.ts";
import { ServerError, SqlClient } from "./postgres/sql-client.ts";
import { Walsender, type WalsenderWorld } from "./postgres/walsender.ts";
import type { Process, Scheduler } from "./scheduler.ts";

export const STREAM = "s";
const SLOT = "slot";
const PAUSE_MS = 250;
/** As the daemon's status board looks. */
const LOOK_MS = 5_000;

/** The prefix of messages that are published, where any are. */
const WANTED = "wanted";

export function configOf(random: Random, publishesMessages: boolean): Config {
  return {
    stream: STREAM,
    postgres: {
      url: "postgres://simulated",
      slot: SLOT,
      publication: "publication",
      failover: false,
      origin: "any",
      acceptPublicationXmin: null,
    },
    tables: ["public.*", "!public.x"],
    keyless: [],
    snapshot: "never",
    onRewrite: "snapshot",
    snapshotConnections: 2,
    spoolFolder: null,
    topics: [],
    images: [],
    messages: { prefixes: publishesMessages ? [WANTED] : [] },
    imagesFile: "unused",
    kafka: {
      brokers: ["node:1", "node:2", "node:3"],
      clientId: "simulated",
      partitions: random.int(1, 3),
      replicationFactor: -1,
      ssl: false,
    },
    metrics: null,
    admin: { host: "", port: 0, hostnames: [] },
    startup: { waitMs: 10_000 },
    walGuard: { warn: 1, alert: 1, giveUp: null },
    batch: { maxBytes: random.pick([300, 1_500, 4_000, 20_000]), lingerMs: random.pick([0, 5, 20]) },
    pidFile: null,
    log: { level: "info", format: "json", file: null },
  };
}

export interface DaemonWorld extends WalsenderWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly config: Config;
  /** It halted: in a simulated world there is no reason for it. */
  readonly halted: (process: Process, error: unknown) => void;
}

export class SimulatedDaemon {
  readonly process: Process;
  readonly #world: DaemonWorld;
  readonly #stopping = new AbortController();
  readonly #clients = new Set<SqlClient>();
  #walsender: Walsender | null = null;
  #session: StreamSession | null = null;
  #over = false;

  constructor(name: string, world: DaemonWorld) {
    this.process = { name, dead: false, paused: false };
    this.#world = world;
  }

  /** It has ended, by itself or by force. */
  get over(): boolean {
    return this.#over;
  }

  /** Of this session; null before it has got the slot. */
  get walsender(): Walsender | null {
    return this.#walsender;
  }

  start(): void {
    this.#world.scheduler.after(0, this.process, () => {
      this.#run().then(
        () => this.#ended("stopped"),
        (error) => {
          this.#ended(`halted: ${codeOf(error) ?? error}`);
          if (!this.process.dead) {
            this.#world.halted(this.process, error);
          }
        },
      );
    });
  }

  /** A clean stop, at a batch boundary. */
  stop(): void {
    this.#world.scheduler.after(0, this.process, () => {
      if (this.#session !== null && !this.#stopping.signal.aborted) {
        this.#world.trace(`${this.process.name}: is told to stop`);
        this.#stopping.abort();
        this.#session.stop();
      }
    });
  }

  /** SIGKILL, in the middle of whatever it does. `isNoticed`: its connections are closed by its machine. */
  kill(why: string, isNoticed: boolean): void {
    if (this.#over) {
      return;
    }
    this.process.dead = true;
    this.#ended(`killed ${why}`);
    this.#walsender?.clientDied(isNoticed);
    for (const client of this.#clients) {
      this.#world.server.gone(client);
    }
  }

  #ended(how: string): void {
    if (!this.#over) {
      this.#over = true;
      this.#world.trace(`${this.process.name}: ${how}`);
    }
  }

  async #run(): Promise<void> {
    const { scheduler, trace, config } = this.#world;
    const { signal } = this.#stopping;
    const before: Before = { unpublished: null };
    for (let hasRun = false; !signal.aborted; ) {
      try {
        const never = new AbortController().signal;
        this.#session = await StreamSession.open(config, never, this.#connections(), { before });
        hasRun = true;
        trace(`${this.process.name}: session open at ${this.#session.progress.sequence}`);
        await this.#watch(this.#session);
      } catch (error) {
        const decision = decide(error, hasRun);
        trace(`${this.process.name}: ${codeOf(error) ?? error} -> ${decision}`);
        if (decision === "halt") {
          throw error;
        }
        if (decision === "standby") {
          hasRun = true;
          await this.#standBy(signal);
        }
        await new Promise((resolve) => scheduler.after(PAUSE_MS, this.process, () => resolve(undefined)));
      } finally {
        this.#session = null;
        this.#walsender = null;
      }
    }
  }

  async #watch(session: StreamSession): Promise<void> {
    const look = setInterval(() => void session.verify(), LOOK_MS);
    try {
      await session.run();
    } finally {
      clearInterval(look);
    }
  }

  async #standBy(signal: AbortSignal): Promise<void> {
    let client: pg.Client | null = null;
    try {
      client = await this.#connectSql(() => undefined);
      await waitUntilInactive(client, SLOT, signal);
    } catch (error) {
      if (!(error instanceof ServerError)) {
        throw error;
      }
    } finally {
      await client?.end();
    }
  }

  #connections(): Connections {
    return {
      sql: (_settings, _name, onLost = () => undefined) => this.#connectSql(onLost),
      kafka: (settings, signal) => KafkaConnection.connect(settings, signal, this.#world.network.opener(this.process)),
      replication: () => this.#openWalsender(),
    };
  }

  async #connectSql(onLost: (error: Error & { code: string }) => void): Promise<pg.Client> {
    await this.#reachPostgres();
    const { server, scheduler, random } = this.#world;
    const client = new SqlClient(server, scheduler, random, this.process, onLost);
    this.#clients.add(client);
    return client.asClient;
  }

  async #openWalsender(): Promise<Walsender> {
    await this.#reachPostgres();
    const { slot } = this.#world.server;
    if (slot === null || slot.activePid !== null) {
      throw new ServerError(slot === null ? "42704" : "55006");
    }
    this.#walsender = new Walsender(this.#world, this.process);
    return this.#walsender;
  }

  async #reachPostgres(): Promise<void> {
    const { scheduler, random, server } = this.#world;
    await new Promise((resolve) => scheduler.after(random.int(5, 300) / 100, this.process, () => resolve(undefined)));
    if (!server.isUp) {
      throw new ServerError(random.pick(["ECONNREFUSED", "57P03"]));
    }
  }
}
