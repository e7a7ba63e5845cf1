// The shop of docker-compose.yml: makes the products table, waits until the daemon captures it, fills it and keeps selling.
import { writeFileSync } from "node:fs";
import pg from "pg";
import { messageOf } from "../../src/errors.ts";
import { CREATE_PRODUCTS, openShop } from "../demo/workload.ts";
import { waitFor } from "../servers/wait-for.ts";

const ROWS = 3000;
/** A shop that opens again gets a delivery: it knows only the products that it has listed itself. */
const DELIVERY = 250;
const TRANSACTIONS_PER_SECOND = 20;
/** docker-compose.yml's health check looks for it: the daemon captures the tables that exist when it starts. */
const TABLE_EXISTS = "/tmp/table-exists";

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function prepare(client: pg.Client, slot: string): Promise<number> {
  const { rows: found } = await client.query("SELECT to_regclass('public.products') AS products");
  if (found[0].products === null) await client.query(CREATE_PRODUCTS);
  writeFileSync(TABLE_EXISTS, "");
  say(`public.products exists; waiting for the slot ${slot}`);
  // Rows written before the slot exists would not be captured.
  const isCaptured = async () => {
    const { rows } = await client.query("SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND active", [slot]);
    return rows.length === 1;
  };
  await waitFor(isCaptured, { what: `the replication slot ${slot} to be in use`, timeout: 300_000 });
  const { rows } = await client.query("SELECT count(*)::int AS count FROM public.products");
  return rows[0].count;
}

async function main(url: string, slot: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: "afterimage demo" });
  client.on("error", () => undefined); // the statement at hand rejects
  await client.connect();
  const existing = await prepare(client, slot).finally(() => client.end());
  const shop = await openShop(url);
  const stop = () => void shop.stop();
  process.once("SIGTERM", stop).once("SIGINT", stop);
  const rows = Math.max(ROWS - existing, DELIVERY);
  say(`listing ${rows} products`);
  await shop.fill(rows);
  say(`selling: ${TRANSACTIONS_PER_SECOND} transactions a second`);
  await shop.run(TRANSACTIONS_PER_SECOND);
  say(`stopped after ${shop.rowsWritten()} rows`);
}

const { SHOP_POSTGRES_URL: url, SHOP_SLOT: slot } = process.env;
if (url === undefined || slot === undefined) {
  process.stderr.write("SHOP_POSTGRES_URL and SHOP_SLOT are needed; docker-compose.yml sets them.\n");
  process.exit(2);
}
try {
  await main(url, slot);
} catch (error) {
  // Docker starts it again, until Postgres is back.
  process.stderr.write(`the shop closes: ${messageOf(error)}\n`);
  process.exit(1);
}
