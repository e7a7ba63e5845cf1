// Looks at a running history ten times a second: what Postgres was told, what is stored, and what the daemon says of itself.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { parseLsn } from "../../src/event/lsn.ts";
import { KafkaConnection } from "../../src/kafka/connection.ts";
import { fetchOffsets } from "../../src/kafka/offsets.ts";
import { readProgress } from "../../src/sink/progress-log.ts";
import type { HealthSample, PositionSample, Watch } from "./evidence.ts";
import { Misses } from "./misses.ts";

const INTERVAL_MS = 100;
const PATIENCE_MS = 3_000;
const MARKER_MS = 50;

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
    try {
      const progress = await readProgress(await this.#connected(), `${this.#options.stream}.progress`);
      return progress && { endLsn: progress.endLsn, sequence: progress.sequence };
    } catch (error) {
      await this.#kafka?.close();
      this.#kafka = null;
      throw error;
    }
  }

  async #connected(): Promise<KafkaConnection> {
    this.#kafka ??= await KafkaConnection.connect({
      brokers: [...this.#options.brokers],
      clientId: "torture-sampler",
      requestTimeoutMs: PATIENCE_MS,
      connectionTimeoutMs: PATIENCE_MS,
    });
    return this.#kafka;
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
    const stored = await this.#storedSince(confirmed);
    this.positions.push({ at, confirmed, stored });
  }

  /**
   * A transaction may be committed and its marker not yet written, for seconds after a broker was killed: then it hides
   * itself, and no reader sees it. Asked for until `confirmed` is stored or nothing was hidden; throws when that takes
   * too long.
   */
  async #storedSince(confirmed: bigint): Promise<Stored> {
    const deadline = performance.now() + PATIENCE_MS;
    let stored = await this.stored();
    while (confirmed > (stored?.endLsn ?? 0n)) {
      // Asked before the record is read: what was not hidden then is seen now.
      const isHidden = await this.#isHidden();
      stored = await this.stored();
      if (!isHidden) break;
      if (performance.now() > deadline) throw new Error("A transaction that is not ended hides what is stored.");
      await sleep(MARKER_MS);
    }
    return stored;
  }

  /** Whether a transaction was open, or its marker missing, on the progress topic. */
  async #isHidden(): Promise<boolean> {
    const connection = await this.#connected();
    const { lastStable, highWatermark } = await fetchOffsets(connection, `${this.#options.stream}.progress`, 0);
    return lastStable !== highWatermark;
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
