// Whatever DDL is done under concurrent writes, also while the daemon is killed: in the end the topics, folded, are the
// tables. AFTERIMAGE_TEST_STORM_SEEDS sets other seeds (1,2,3), AFTERIMAGE_TEST_STORM_STEPS how many changes each makes, and
// AFTERIMAGE_TEST_STORM_LOG the path of a file for each seed that tells all that was done and stored.
import { writeFileSync } from "node:fs";
import pg from "pg";
import { expect, onTestFinished, test } from "vitest";
import { requestSnapshot } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { SchemaStorm, SETUP } from "../support/schema-storm.ts";
import { readTopic } from "../support/topics.ts";
import { verifyDatabase } from "../support/verify-run.ts";
import { waitFor } from "../support/wait-for.ts";
import { seeded } from "../torture/random.ts";

const SEEDS = (process.env.AFTERIMAGE_TEST_STORM_SEEDS ?? "7").split(",").map(Number);
const STEPS = Number(process.env.AFTERIMAGE_TEST_STORM_STEPS ?? 40);
const LOG = process.env.AFTERIMAGE_TEST_STORM_LOG;

test.each(SEEDS)(
  "seed %i",
  async (seed) => {
    const stream = await CapturedStream.create(SETUP, { AFTERIMAGE_SNAPSHOT: "initial" });
    onTestFinished(() => stream.drop());
    const storm = new SchemaStorm(seed, `afterimage_${stream.stream}`);
    const said = () => `${storm.done.join(";\n")}\n${stream.daemon.output()}`;
    try {
      await rage(stream, storm, seed);
      await expectTables(stream, said);
    } catch (error) {
      if (LOG !== undefined) {
        writeFileSync(
          `${LOG}.${seed}`,
          [String(error), String((error as Error).cause ?? ""), said(), ...(await stored(stream))].join("\n"),
        );
      }
      throw error;
    }
  },
  600_000,
);

async function rage(stream: CapturedStream, storm: SchemaStorm, seed: number): Promise<void> {
  const random = seeded(`kills ${seed}`);
  const clients: pg.Client[] = [];
  const over = new AbortController();
  const writers: Promise<void>[] = [];
  try {
    for (let each = 0; each < 3; each++) {
      const client = new pg.Client({ connectionString: stream.database.url });
      await client.connect();
      clients.push(client);
    }
    const [changer, ...others] = clients as [pg.Client, ...pg.Client[]];
    writers.push(...others.map((client, each) => storm.write(client, `writer ${each + 1}`, over.signal)));
    await changer.query("SET lock_timeout = '2s'; SET deadlock_timeout = '50ms'");
    for (let step = 0; step < STEPS; step++) {
      await storm.change(changer);
      if (random.chance(0.05)) {
        storm.done.push("-- kill");
        await stream.daemon.kill();
        for (let more = random.int(0, 2); more > 0; more--) {
          await storm.change(changer);
        }
        await stream.start();
      }
    }
  } finally {
    over.abort();
    await Promise.allSettled(writers);
    await Promise.all(clients.map((client) => client.end()));
  }
  await Promise.all(writers);
}

/**
 * Once what was changed is read nothing is wrong. What no event told of is not wrong, but can't be compared either: then,
 * and only then, those tables are asked for.
 */
async function expectTables(stream: CapturedStream, said: () => string): Promise<void> {
  await waitFor(
    async () => {
      if (stream.daemon.child.exitCode !== null) throw new Error(`The daemon has ended.\n${said()}`);
      const { code, report, kinds, output } = await verifyDatabase(stream);
      if (kinds.length > 0 && kinds.every((kind) => UNTOLD.has(kind))) {
        const untold = report.findings.flatMap(({ kind, table }) => (UNTOLD.has(kind) && table != null ? [table] : []));
        for (const table of new Set(untold)) {
          // Of a table without rows only an event tells the columns that were added.
          await stream.sql(`INSERT INTO ${table} DEFAULT VALUES`).catch(() => undefined);
          await requestSnapshot(stream.daemon, table); // may be refused while the stream is opened afresh
        }
      }
      expect({ code, kinds }, `${output}\n${said()}`).toEqual({ code: 0, kinds: [] });
      return true;
    },
    { what: "topics that are the tables", timeout: 180_000 },
  );
  expect(stream.daemon.output()).not.toContain("DeprecationWarning");
}

const UNTOLD: ReadonlySet<string> = new Set(["VALUES_UNSEEN", "TABLE_NOT_FOLDED"]);

async function stored(stream: CapturedStream): Promise<string[]> {
  const schemas = (await readTopic(stream.brokers, `${stream.stream}.schemas`)).map(({ value }) => String(value));
  const events = (await stream.stored()).map(
    ({ event, topic, partition }) =>
      `${event.sequence} ${topic} ${partition} ${JSON.stringify(event).replaceAll(/[0-9a-f]{100,}/g, "…")}`,
  );
  return [...schemas, ...events];
}
