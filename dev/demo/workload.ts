// What happens in a shop: products are listed, repriced, sold, reworded and taken off, in transactions of all sizes.
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { CATEGORY_NAMES, describe, type NewProduct, pick, priceOf, product, type Random, seeded } from "./products.ts";

export const CREATE_PRODUCTS = `
  CREATE TABLE public.products (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    description text NOT NULL,
    brand text NOT NULL,
    category text NOT NULL,
    price numeric(10,2) NOT NULL,
    stock int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
  )`;

const INSERT = `
  INSERT INTO public.products (name, description, brand, category, price, stock)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::numeric[], $6::int[]) RETURNING id`;

export interface Workload {
  /** Rows that committed transactions inserted, updated or deleted so far. */
  rowsWritten(): number;
  /** Inserts that many products, in transactions of a few hundred. */
  fill(rows: number): Promise<void>;
  /** Writes until it is stopped; rejects when the database refuses something. */
  run(transactionsPerSecond: number): Promise<void>;
  /** Resolves when the transaction at hand has ended and the connection is closed. */
  stop(): Promise<void>;
}

function columns(products: readonly NewProduct[]): unknown[] {
  return [
    products.map(({ name }) => name),
    products.map(({ description }) => description),
    products.map(({ brand }) => brand),
    products.map(({ category }) => category),
    products.map(({ price }) => price),
    products.map(({ stock }) => stock),
  ];
}

class Shop implements Workload {
  readonly #client: pg.Client;
  readonly #random: Random;
  #ids: string[] = [];
  #rows = 0;
  #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(client: pg.Client, seed: number) {
    this.#client = client;
    this.#random = seeded(seed);
  }

  rowsWritten(): number {
    return this.#rows;
  }

  async fill(rows: number): Promise<void> {
    for (let left = rows; left > 0 && !this.#stopping.signal.aborted; left -= 250) {
      await this.#list(Math.min(250, left));
    }
  }

  run(transactionsPerSecond: number): Promise<void> {
    this.#running = this.#loop(transactionsPerSecond);
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running.catch(() => undefined); // whoever called run() has the error
    await this.#client.end();
  }

  async #loop(transactionsPerSecond: number): Promise<void> {
    const started = Date.now();
    for (let done = 0; !this.#stopping.signal.aborted; done++) {
      await this.#transaction();
      const ahead = started + (done * 1000) / transactionsPerSecond - Date.now();
      if (ahead > 5) await sleep(ahead, undefined, { signal: this.#stopping.signal }).catch(() => undefined); // stopped
    }
  }

  async #transaction(): Promise<void> {
    const kind = this.#random();
    if (kind < 0.4) return this.#reprice();
    if (kind < 0.65) return this.#sell();
    if (kind < 0.73) return this.#reword();
    if (kind < 0.88) return this.#list(1 + Math.floor(this.#random() * 3));
    if (kind < 0.97) return this.#takeOff(1 + Math.floor(this.#random() * 3));
    if (kind < 0.985) return this.#sale();
    return this.#changeOfMind();
  }

  /** Runs the statement and counts its rows. */
  async #write(sql: string, values: unknown[]): Promise<pg.QueryResult> {
    const result = await this.#client.query(sql, values);
    this.#rows += result.rowCount ?? 0;
    return result;
  }

  async #list(count: number): Promise<void> {
    const products = Array.from({ length: count }, () => product(this.#random));
    const { rows } = await this.#write(INSERT, columns(products));
    for (const { id } of rows) this.#ids.push(id);
  }

  async #reprice(): Promise<void> {
    const price = priceOf(this.#random, pick(this.#random, CATEGORY_NAMES));
    await this.#write("UPDATE public.products SET price = $2, updated_at = now() WHERE id = $1", [this.#any(), price]);
  }

  /** An order of several products: one transaction, several statements. */
  async #sell(): Promise<void> {
    await this.#client.query("BEGIN");
    let rows = 0;
    for (let line = 0; line < 1 + this.#random() * 4; line++) {
      const sold = 1 + Math.floor(this.#random() * 3);
      const result = await this.#client.query(
        "UPDATE public.products SET stock = greatest(stock - $2, 0), updated_at = now() WHERE id = $1",
        [this.#any(), sold],
      );
      rows += result.rowCount ?? 0;
    }
    await this.#client.query("COMMIT");
    this.#rows += rows;
  }

  async #reword(): Promise<void> {
    const text = describe(this.#random, pick(this.#random, CATEGORY_NAMES), "piece");
    await this.#write("UPDATE public.products SET description = $2, updated_at = now() WHERE id = $1", [
      this.#any(),
      text,
    ]);
  }

  async #takeOff(count: number): Promise<void> {
    if (this.#ids.length < 100) return;
    const gone = Array.from({ length: count }, () => {
      const at = Math.floor(this.#random() * this.#ids.length);
      const id = this.#ids[at] as string;
      this.#ids[at] = this.#ids[this.#ids.length - 1] as string;
      this.#ids.pop();
      return id;
    });
    await this.#write("DELETE FROM public.products WHERE id = ANY($1::bigint[])", [gone]);
  }

  /** A tenth off for up to a hundred products of a category: many rows in one transaction. */
  async #sale(): Promise<void> {
    await this.#write(
      `UPDATE public.products SET price = round(price * 0.9, 2), updated_at = now() WHERE id IN
         (SELECT id FROM public.products WHERE category = $1 AND price > 5 ORDER BY id DESC LIMIT 100)`,
      [pick(this.#random, CATEGORY_NAMES)],
    );
  }

  /** A transaction that is rolled back: nothing of it may ever be seen. */
  async #changeOfMind(): Promise<void> {
    await this.#client.query("BEGIN");
    await this.#client.query(INSERT, columns([product(this.#random)]));
    await this.#client.query("UPDATE public.products SET stock = 0 WHERE id = $1", [this.#any()]);
    await this.#client.query("ROLLBACK");
  }

  #any(): string {
    return pick(this.#random, this.#ids);
  }
}

/** @param url of a database that holds CREATE_PRODUCTS's table */
export async function openShop(url: string, seed = 7): Promise<Workload> {
  const client = new pg.Client({ connectionString: url, application_name: "afterimage demo workload" });
  client.on("error", () => undefined); // the statement at hand rejects
  await client.connect();
  return new Shop(client, seed);
}
