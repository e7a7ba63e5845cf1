// Looks at a running history ten times a second: what Postgres was told, what is stored, and what the daemon says of itself.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { settledTransactions } from "../../dev/servers/settled.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { readProgress } from "../../src/sink/progress-log.ts";
import type { HealthSample, PositionSample, Watch } from "./evidence.ts";
import { Misses } from "./misses.ts";

const INTERVAL_MS = 100;
const PATIENCE_MS = 3_000;

export interface SamplerOptions {
  /** Past the proxy. */
  readonly postgresUrl: string;
  readonly brokers: readonly string[];
  readonly stream: string;
  /** Admin ports of the daemons that run now. */
  readonly adminPorts: () => readonly number[];
  /** When the history began, by `performance.now()`. */
  readonly began: number;
}

type Stored = PositionSample["stored"];

export class Sampler {
  readonly positions: PositionSample[] = [];
  readonly health: HealthSample[] = [];
  readonly #missed = { positions: new Misses(), health: new Misses() };
  readonly #options: SamplerOptions;
  readonly #loops: Promise<void>[];
  #postgres: pg.Client | null = null;
  #kafka: KafkaConnection | null = null;
  #over = false;

  constructor(options: SamplerOptions) {
    this.#options = options;
    const { positions, health } = this.#missed;
    this.#loops = [
      this.#repeat(() => this.#samplePosition(), positions),
      this.#repeat(() => this.#sampleHealth(), health),
    ];
  }

  get misses(): Pick<Watch["misses"], "positions" | "health"> {
    return { positions: this.#missed.positions.told, health: this.#missed.health.told };
  }

  /** The progress record stored last; throws while Kafka can't be asked. */
  async stored(): Promise<Stored> {
    const { brokers, stream } = this.#options;
    try {
      this.#kafka ??= await KafkaConnection.connect({
        brokers: [...brokers],
        clientId: "torture-sampler",
        requestTimeoutMs: PATIENCE_MS,
        connectionTimeoutMs: PATIENCE_MS,
      });
      const progress = await readProgress(this.#kafka, `${stream}.progress`);
      return progress && { endLsn: progress.endLsn, sequence: progress.sequence };
    } catch (error) {
      await this.#kafka?.close();
      this.#kafka = null;
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#loops);
    await this.#postgres?.end().catch(() => undefined);
    await this.#kafka?.close();
  }

  async #repeat(look: () => Promise<void>, missed: Misses): Promise<void> {
    while (!this.#over) {
      // Servers are down now and then: that look is left out, and counted.
      await look().catch((error) => missed.note(error));
      await sleep(INTERVAL_MS);
    }
  }

  async #samplePosition(): Promise<void> {
    const at = this.#now();
    const confirmed = await this.#confirmed();
    if (confirmed === null) return;
    let stored = await this.stored();
    if (confirmed > (stored?.endLsn ?? 0n)) {
      // The transaction may be committed and its marker not yet written: readers see it a moment later.
      await settledTransactions([...this.#options.brokers], PATIENCE_MS);
      stored = await this.stored();
    }
    this.positions.push({ at, confirmed, stored });
  }

  async #confirmed(): Promise<bigint | null> {
    try {
      if (this.#postgres === null) {
        const client = new pg.Client({
          connectionString: this.#options.postgresUrl,
          connectionTimeoutMillis: PATIENCE_MS,
          query_timeout: PATIENCE_MS,
        });
        client.on("error", () => undefined); // the next query fails
        await client.connect();
        this.#postgres = client;
      }
      const { rows } = await this.#postgres.query(
        "SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1",
        [`afterimage_${this.#options.stream}`],
      );
      return rows[0]?.lsn == null ? null : parseLsn(rows[0].lsn);
    } catch (error) {
      this.#postgres?.end().catch(() => undefined);
      this.#postgres = null;
      throw error;
    }
  }

  async #sampleHealth(): Promise<void> {
    for (const port of this.#options.adminPorts()) {
      const at = this.#now();
      const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(PATIENCE_MS) });
      const { state } = (await response.json()) as { state: string };
      this.health.push({ at, state, healthy: response.ok });
    }
  }

  #now(): number {
    return Math.round(performance.now() - this.#options.began);
  }
}
