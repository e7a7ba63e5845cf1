// Whole databases are made and filled while the daemon captures them, from nothing: what a plain consumer makes of the
// topics is then the tables, byte for byte as text. The files of test/loads say what is made; `node test/loads/main.ts` runs
// any other SQL the same way.
import { readFileSync } from "node:fs";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { makeWarehouses, orderGoods } from "../loads/warehouses.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { foldStream } from "../support/folded-stream.ts";
import { compareTables } from "../support/table-comparison.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";

test("tables of every kind, a film rental and warehouses, made while they are captured", async () => {
  const stream = await CapturedStream.create("", { AFTERIMAGE_SNAPSHOT: "initial" });
  onTestFinished(() => stream.drop());
  const { url } = stream.database;
  const [, , orders] = await Promise.all([run(url, "features"), run(url, "films"), warehouses(url)]);
  expect(orders).toBeGreaterThan(100);
  let last = "";
  await waitFor(
    async () => {
      if (stream.daemon.child.exitCode !== null) throw new Error(`The daemon has ended:\n${stream.daemon.output()}`);
      await stream.published();
      const folded = await foldStream(stream.brokers, stream.stream);
      expect(folded.faults).toEqual([]);
      const { equal, different } = await compareTables(url, `afterimage_${stream.stream}`, folded);
      last = different.join("\n");
      return different.length === 0 && equal.length > 50;
    },
    { what: "topics that are the tables", timeout: 150_000 },
  ).catch((cause) => {
    throw new Error(`${cause.message}\n${last}\n${stream.daemon.output()}`, { cause });
  });
  const { code, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
});

async function warehouses(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await makeWarehouses(client, 2);
  } finally {
    await client.end();
  }
  return orderGoods(url, { warehouses: 2, sessions: 4, transactions: 60, seed: 1 });
}

/** Paragraphs of the file, each as one simple query; those marked so have to be refused. */
async function run(url: string, file: string): Promise<void> {
  const text = readFileSync(new URL(`../loads/${file}.sql`, import.meta.url), "utf8");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const paragraph of text.split("\n\n")) {
      const refused = paragraph.startsWith("-- refused");
      const error = await client.query(paragraph).then(
        () => null,
        (thrown) => thrown,
      );
      if ((error !== null) !== refused) throw new Error(`${refused ? "Not refused" : error.message}:\n${paragraph}`);
    }
  } finally {
    await client.end();
  }
}
