// `npm run demo -- --check`: the workload with kills, then quiet, then the comparison of table, topic and index.
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { formatLsn, type Lsn, parseLsn } from "../../src/event/lsn.ts";
import { readTopic } from "../servers/topics.ts";
import { waitFor } from "../servers/wait-for.ts";
import { judge, playTopic, type Rows, type Verdict } from "./compare.ts";
import type { Stack } from "./stack.ts";
import type { Workload } from "./workload.ts";

/** Ten seconds of workload; the daemon is killed after 2.5 s and 7 s, the consumer after 4.5 s. */
export async function runWithKills(
  stack: Stack,
  shop: Workload,
  rate: number,
  log: (line: string) => void,
): Promise<void> {
  const started = Date.now();
  const at = (milliseconds: number) => sleep(Math.max(0, started + milliseconds - Date.now()));
  const writing = shop.run(rate);
  const killing = async () => {
    await at(2500);
    log("kill -9 of the daemon");
    await stack.daemon.kill();
    await stack.daemon.start();
    await at(4500);
    log("kill -9 of the consumer");
    await stack.sample.kill();
    await stack.sample.start();
    await at(7000);
    log("kill -9 of the daemon");
    await stack.daemon.kill();
    await stack.daemon.start();
    await at(10_000);
    await shop.stop();
  };
  await Promise.race([Promise.all([writing, killing()]), stack.daemon.unexpectedEnd, stack.sample.unexpectedEnd]);
}

/**
 * The WAL position that the stream reaches when all is published. On an idle server the insert position may stand just
 * behind the header of a page (24 bytes, 40 in a segment's first), where no record ends: then it is the page's begin.
 */
async function insertPosition(client: pg.Client): Promise<Lsn> {
  const { rows } = await client.query(
    "SELECT pg_current_wal_insert_lsn() AS lsn, current_setting('wal_block_size') AS block," +
      " pg_size_bytes(current_setting('wal_segment_size')) AS segment",
  );
  const lsn: bigint = parseLsn(rows[0].lsn);
  const [inBlock, inSegment] = [lsn % BigInt(rows[0].block), lsn % BigInt(rows[0].segment)];
  const header = inSegment === 40n ? 40n : inBlock === 24n && inSegment !== 24n ? 24n : 0n;
  return (lsn - header) as Lsn;
}

async function quiet(stack: Stack): Promise<void> {
  const target = await insertPosition(stack.database.client);
  await waitFor(
    async () => {
      const position = (await stack.status())?.position;
      return position != null && parseLsn(position.endLsn) >= target;
    },
    { what: `the daemon to publish all up to ${formatLsn(target)}`, timeout: 90_000 },
  );
  const published = (await stack.status())?.position?.sequence ?? 0;
  await waitFor(
    async () => {
      const index = await stack.sampleStatus();
      return index !== undefined && index.sequence >= published && index.lag === 0;
    },
    { what: `the index to reach sequence ${published}`, timeout: 60_000 },
  );
}

const COLUMNS = ["id", "name", "description", "brand", "category", "price", "stock", "updated_at"];

/** The table as the types' output functions print it, under the settings that the daemon pins. */
async function readTable(url: string): Promise<Rows> {
  const client = new pg.Client({ connectionString: url, options: "-c datestyle=ISO -c timezone=UTC" });
  await client.connect();
  try {
    const { rows } = await client.query({
      text: `SELECT ${COLUMNS.join(", ")} FROM public.products`,
      types: { getTypeParser: () => (text: string) => text },
    });
    return new Map(rows.map((row) => [JSON.stringify([row.id]), row]));
  } finally {
    await client.end();
  }
}

function readIndex(file: string): Rows {
  const database = new DatabaseSync(file);
  try {
    // Compares the full-text index with its table; throws when they differ. https://www.sqlite.org/fts5.html
    database.exec("INSERT INTO products_text (products_text, rank) VALUES ('integrity-check', 1)");
    const rows = database.prepare(`SELECT ${COLUMNS.join(", ")} FROM products`).all();
    return new Map(
      rows.map((row) => {
        const texts = Object.fromEntries(
          Object.entries(row).map(([name, value]) => [name, value === null ? null : String(value)]),
        );
        return [JSON.stringify([texts.id]), texts];
      }),
    );
  } finally {
    database.close();
  }
}

/** Waits until all is quiet, ends daemon and sample, and compares. */
export async function compare(stack: Stack): Promise<Verdict> {
  await Promise.race([quiet(stack), stack.daemon.unexpectedEnd, stack.sample.unexpectedEnd]);
  await stack.sample.stop(); // it holds a lock on the file
  await stack.daemon.stop();
  const topic = playTopic(await readTopic(stack.brokers, stack.topic, { timeout: 60_000 }));
  return judge(await readTable(stack.database.url), topic, readIndex(stack.indexFile));
}
