// A plain connection to the simulated Postgres: answers the queries that a session asks, and no others.
import type pg from "pg";
import { formatLsn } from "../../../src/event/lsn.ts";
import type { Random } from "../../torture/random.ts";
import type { Process, Scheduler } from "../scheduler.ts";
import type { Backend, PostgresServer } from "./server.ts";
import { columnsOf, TABLES } from "./wal.ts";

const PUBLICATION_OID = 4000;
const DUPLICATE_OBJECT = "42710";

export class ServerError extends Error {
  readonly code: string;

  constructor(code: string) {
    super(`The simulated Postgres says ${code}.`);
    this.code = code;
  }
}

type Rows = Record<string, unknown>[];

/** Throws what the server answers with an error. */
function answerTo(server: PostgresServer, text: string, values: readonly unknown[]): Rows {
  const has = (part: string) => text.includes(part);
  if (has("pg_create_logical_replication_slot")) {
    if (server.slot !== null) {
      throw new ServerError(DUPLICATE_OBJECT);
    }
    server.createSlot();
    return [];
  }
  if (has("FROM pg_replication_slots WHERE slot_name")) {
    return server.slot === null ? [] : [slotRow(server)];
  }
  if (has("FROM pg_publication WHERE pubname")) {
    return [
      {
        oid: PUBLICATION_OID,
        xmin: "700",
        ours: false,
        allTables: false,
        viaRoot: true,
        pubinsert: true,
        pubupdate: true,
        pubdelete: true,
        pubtruncate: true,
      },
    ];
  }
  if (has("FROM pg_control_system()")) {
    return [{ systemId: "1", timeline: "1", database: 5, insertLsn: formatLsn(server.insertLsn), version: 180_004 }];
  }
  if (has("relfilenode AS file")) {
    const oids = values[1] as number[];
    const byNumber = (oid: number, of: "name" | "typeOid") =>
      Object.fromEntries(columnsOf(server.columnsOf(oid)).map((column, at) => [at + 1, column[of]]));
    return TABLES.filter(({ oid }) => oids.includes(oid)).map(({ oid }) => ({
      oid,
      file: oid,
      toast: 0,
      columns: String(server.columnsOf(oid)),
      filled: [],
      types: byNumber(oid, "typeOid"),
      names: byNumber(oid, "name"),
      place: "own",
      parts: "",
      composites: {},
      enums: {},
    }));
  }
  if (has("FROM pg_enum")) {
    return [{ mark: null }];
  }
  if (has("pg_get_publication_tables")) {
    return TABLES.map(({ oid }) => ({ oid }));
  }
  if (has("c.oid = ANY ($2)") || has("NOT c.relispartition")) {
    const oids = (values[1] as number[] | undefined) ?? TABLES.map(({ oid }) => oid);
    return TABLES.filter(({ oid }) => oids.includes(oid)).map(({ oid, name, identity, publicationRel }) => ({
      oid,
      schema: "public",
      table: name,
      identity,
      rel: publicationRel,
      namespace: null,
      pkColumns: ["id"],
      pkImmediate: true,
      riColumns: null,
      riImmediate: null,
      ancestors: [],
      readAt: formatLsn(server.insertLsn),
      written: String(server.columnsOf(oid)),
      partitioned: false,
    }));
  }
  if (has("JOIN pg_publication_tables")) {
    return TABLES.map(({ oid }) => ({ oid, columns: columnsOf(server.columnsOf(oid)) }));
  }
  if (has("FROM pg_type t")) {
    const names = new Map([
      [23, "int4"],
      [25, "text"],
    ]);
    return (values[0] as number[]).map((oid) => ({ oid, name: names.get(oid), schema: "pg_catalog" }));
  }
  if (has("SET statement_timeout")) {
    return [];
  }
  throw new Error(`The simulated Postgres does not know this query: ${text}`);
}

function slotRow({ slot, insertLsn }: PostgresServer): Record<string, unknown> {
  return {
    plugin: "pgoutput",
    here: true,
    activePid: slot!.activePid,
    confirmedFlushLsn: formatLsn(slot!.confirmed),
    retainedBytes: Number(insertLsn - slot!.confirmed),
    walStatus: "reserved",
    twoPhase: false,
  };
}

export class SqlClient implements Backend {
  readonly pid: number;
  readonly #server: PostgresServer;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #process: Process;
  readonly #onLost: (error: Error & { code: string }) => void;
  readonly #waiting = new Set<(error: Error) => void>();
  #lost: ServerError | null = null;

  constructor(
    server: PostgresServer,
    scheduler: Scheduler,
    random: Random,
    process: Process,
    onLost: (error: Error & { code: string }) => void,
  ) {
    this.#server = server;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#process = process;
    this.#onLost = onLost;
    this.pid = server.newPid();
    server.connected(this);
  }

  /** As the product's driver has it. */
  get asClient(): pg.Client {
    return this as unknown as pg.Client;
  }

  query(asked: string | { text: string; values?: unknown[] }, values: unknown[] = []): Promise<{ rows: Rows }> {
    const text = typeof asked === "string" ? asked : asked.text;
    const given = typeof asked === "string" ? values : (asked.values ?? []);
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) {
        reject(this.#lost);
        return;
      }
      if (this.#process.dead) {
        return; // it was killed in this very step
      }
      this.#waiting.add(reject);
      this.#scheduler.after(this.#latency(), null, () => {
        if (this.#lost !== null) {
          return;
        }
        let rows: Rows | ServerError;
        try {
          rows = answerTo(this.#server, text, given);
        } catch (error) {
          if (!(error instanceof ServerError)) {
            throw error;
          }
          rows = error;
        }
        this.#scheduler.after(this.#latency(), this.#process, () => {
          if (this.#waiting.delete(reject)) {
            rows instanceof ServerError ? reject(rows) : resolve({ rows });
          }
        });
      });
    });
  }

  async end(): Promise<void> {
    this.#lost ??= new ServerError("08003");
    this.#server.gone(this);
  }

  terminate(code: string): void {
    this.#server.gone(this);
    this.#scheduler.after(this.#latency(), this.#process, () => {
      if (this.#lost === null) {
        this.#lost = new ServerError(code);
        for (const reject of this.#waiting) {
          reject(this.#lost);
        }
        this.#waiting.clear();
        this.#onLost(this.#lost);
      }
    });
  }

  #latency(): number {
    return this.#random.int(5, 150) / 100;
  }
}
