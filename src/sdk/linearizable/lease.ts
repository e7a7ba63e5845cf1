// Leases: one holder at a time, for a time, with a token that rises each time the lease is given. The time keeps others
// waiting; the token keeps a holder that is late from doing harm.
import { AfterimageError } from "../../errors.ts";
import type { PostgresQueryable, PostgresRow } from "../postgres/pool.ts";

export interface LeaseOptions {
  /** For how long, from 0.001 to 86,400. */
  readonly seconds: number;
}

type Ask = (text: string, values: unknown[]) => Promise<{ rows: PostgresRow[] }>;

const MOST_SECONDS = 86_400;

export const leasesTable = (schema: string): string => `
  CREATE TABLE ${schema}.leases (
    name text COLLATE "C" PRIMARY KEY,
    token bigint NOT NULL,
    expires_at timestamptz NOT NULL
  );`;

export class Lease {
  readonly name: string;
  /** 1, 2, 3 …: higher than that of every holder before. Hand it to whatever is written to: it refuses lower ones. */
  readonly token: number;
  readonly #ask: Ask;
  readonly #table: string;
  readonly #seconds: number;
  #until: number;

  /** @internal Made by `acquireLease`. @param asked `performance.now()` before the server was asked */
  constructor(ask: Ask, table: string, name: string, token: number, seconds: number, asked: number) {
    this.#ask = ask;
    this.#table = table;
    this.name = name;
    this.token = token;
    this.#seconds = seconds;
    this.#until = asked + seconds * 1000;
  }

  /**
   * Milliseconds for which nobody else gets the lease, 0 when it is over; by this process's monotonic clock from before the
   * server was asked, so rather too few. It may be over by the time you look at the answer: only the token is safe.
   */
  remaining(): number {
    return Math.max(this.#until - performance.now(), 0);
  }

  /** Takes it for the same time again, from now. @throws LEASE_LOST when its time was over: another token may be out */
  async renew(): Promise<void> {
    const asked = performance.now();
    const { rows } = await this.#ask(
      `UPDATE ${this.#table} SET expires_at = clock_timestamp() + $3 * interval '1 second'
        WHERE name = $1 AND token = $2 AND expires_at > clock_timestamp() RETURNING token`,
      [this.name, this.token, this.#seconds],
    );
    if (rows.length === 0) {
      this.#until = 0;
      throw lost(this.name);
    }
    this.#until = asked + this.#seconds * 1000;
  }

  /** Gives it back before its time, if it is still held. */
  async release(): Promise<void> {
    this.#until = 0;
    await this.#ask(
      `UPDATE ${this.#table} SET expires_at = clock_timestamp() WHERE name = $1 AND token = $2 AND expires_at > clock_timestamp()`,
      [this.name, this.token],
    );
  }

  /**
   * To be called in a transaction on the same database, before what the lease protects is written: that transaction then
   * commits before anybody else is given the lease, or not at all.
   * @throws LEASE_LOST when somebody else was given it
   */
  async guard(tx: PostgresQueryable): Promise<void> {
    const { rows } = await tx.query(`SELECT FROM ${this.#table} WHERE name = $1 AND token = $2 FOR SHARE`, [
      this.name,
      this.token,
    ]);
    if (rows.length === 0) {
      throw lost(this.name);
    }
  }
}

export async function acquireLease(
  ask: Ask,
  table: string,
  name: string,
  { seconds }: LeaseOptions,
): Promise<Lease | null> {
  if (typeof seconds !== "number" || !(seconds >= 0.001 && seconds <= MOST_SECONDS)) {
    throw new AfterimageError(
      "LEASE_TIME_INVALID",
      `A lease is for 0.001 to ${MOST_SECONDS} seconds.`,
      "Give `seconds` in that range, and renew it before they are over.",
    );
  }
  const asked = performance.now();
  const { rows } = await ask(
    `INSERT INTO ${table} AS old VALUES ($1, 1, clock_timestamp() + $2 * interval '1 second')
      ON CONFLICT (name) DO UPDATE SET token = old.token + 1, expires_at = excluded.expires_at
      WHERE old.expires_at <= clock_timestamp()
      RETURNING token::text`,
    [name, seconds],
  );
  return rows.length === 0 ? null : new Lease(ask, table, name, Number(rows[0]!.token), seconds, asked);
}

const lost = (name: string): AfterimageError =>
  new AfterimageError(
    "LEASE_LOST",
    `The lease ${name} is over, or was given to somebody else.`,
    "Stop the work that it protects. Acquire it again before going on.",
  );
