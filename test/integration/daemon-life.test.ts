// Starting, standing by, stopping, and halting with a name instead of going on with a gap.
import { afterEach, describe, expect, inject, test } from "vitest";
import { adminAddress } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { slotsReleased } from "../support/database.ts";
import { kafkaClient, listTopics, readTopic, removeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text)";
/** Tables that are not what they were halt the daemon, instead of being read anew. */
const HALTING = { AFTERIMAGE_ON_REWRITE: "halt" };

/** What was confirmed; `restart_lsn` the server moves by itself, up to there, when somebody streams. */
const slot = async () =>
  (
    await stream.sql("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", [
      `afterimage_${stream.stream}`,
    ])
  ).rows;

/** Starts a daemon that must halt and leave slot and topics as they are, and gives what it said. */
async function halts(settings: Record<string, string> = {}): Promise<string> {
  await slotsReleased(stream.database.url);
  const [before, stored] = [await slot(), await stream.stored()];
  const daemon = stream.spawn(settings);
  expect(await daemon.exited()).toMatchObject({ code: 4 });
  await slotsReleased(stream.database.url);
  expect(await slot()).toEqual(before);
  expect(await stream.stored()).toEqual(stored);
  expect(daemon.output()).not.toMatch(/\n\s+at /);
  return daemon.output();
}

/** What doctor says of a stream that can't start: it must name the same. */
async function doctor(): Promise<string> {
  const asked = stream.ask("doctor");
  const { code } = await asked.exited();
  expect(code).not.toBe(0);
  return asked.output();
}

describe("life", () => {
  test("stop drains, confirms and ends with 0 within 10 s; the next start goes on without a gap", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 5000) g");
    const begun = Date.now();
    expect(await stream.daemon.kill("SIGTERM")).toEqual({ code: 0, signal: null });
    expect(Date.now() - begun).toBeLessThan(10_000);
    await slotsReleased(stream.database.url);
    const stored = await stream.progress();
    expect(await stream.confirmedFlushLsn()).toBe(stored!.endLsn);
    await stream.sql("INSERT INTO t VALUES (5001, 'y')");
    await stream.start();
    const events = await stream.events();
    expect(events.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 5001 }, (_, i) => i + 1));
  });

  test("a second start stands by, touches nothing, and takes over when the first is killed", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.published();
    const first = stream.daemon;
    const second = stream.spawn();
    try {
      await second.says('"state":"standby"');
      await stream.sql("INSERT INTO t VALUES (2, 'b')");
      await stream.published();
      await first.kill();
      await second.says('"state":"streaming"');
      await stream.sql("INSERT INTO t VALUES (3, 'c')");
      expect((await stream.events()).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    } finally {
      await second.kill();
    }
  });

  test("the position follows WAL that holds nothing for the stream", async () => {
    stream = await CapturedStream.create(`${TABLE}; CREATE TABLE other (id int PRIMARY KEY)`, {
      AFTERIMAGE_TABLES: "public.t",
    });
    await stream.sql("INSERT INTO other SELECT generate_series(1, 10000)");
    const progress = await stream.published();
    expect(progress).toMatchObject({ sequence: 0, last: null });
    await stream.daemon.kill("SIGTERM");
    await slotsReleased(stream.database.url);
    expect(await stream.confirmedFlushLsn()).toBe((await stream.progress())!.endLsn);
  });

  test("a table made while it runs is captured within seconds, and named in the status", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)");
    const address = await adminAddress(stream.daemon);
    await waitFor(async () => (await (await fetch(`${address}/status`)).text()).includes('"table":"public.later"'), {
      what: "the table in the status",
      timeout: 30_000,
    });
    await stream.sql("INSERT INTO later VALUES (2)");
    expect((await stream.events()).map(({ key }) => key)).toEqual([{ id: 2 }]);
  });

  test("its topics keep the whole history, the progress topic is compacted", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.published();
    expect(await listTopics(inject("brokers"), `${stream.stream}.`)).toEqual(
      ["progress", "public.t", "schemas"].map((name) => `${stream.stream}.${name}`),
    );
    const admin = kafkaClient().admin();
    await admin.connect();
    const settings = async (name: string) => {
      const { resources } = await admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: 2, name: `${stream.stream}.${name}` }],
      });
      return Object.fromEntries(
        resources[0]!.configEntries.map(({ configName, configValue }) => [configName, configValue]),
      );
    };
    expect(await settings("public.t")).toMatchObject({
      "cleanup.policy": "delete",
      "retention.ms": "-1",
      "message.timestamp.type": "LogAppendTime",
      "max.message.bytes": "16777216",
    });
    expect(await settings("progress")).toMatchObject({ "cleanup.policy": "compact", "retention.ms": "-1" });
    await admin.disconnect();
  });
});

describe("halts", () => {
  test("SLOT_LOST when the slot is gone; drop --topics is the advice", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await slotsReleased(stream.database.url);
    await stream.sql("SELECT pg_drop_replication_slot($1)", [`afterimage_${stream.stream}`]);
    const said = await halts();
    expect(said).toContain("SLOT_LOST");
    expect(said).toContain("--topics");
    // For what collects the log: one line of level error with the code.
    expect(said).toMatch(/"level":"error".*"code":"SLOT_LOST"/);
    expect(await doctor()).toContain("SLOT_LOST");
  });

  test("PUBLICATION_LOST when the publication is gone, PUBLICATION_FOREIGN when it was made again", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await stream.sql(`DROP PUBLICATION afterimage_${stream.stream}`);
    expect(await halts()).toContain("PUBLICATION_LOST");
    expect(await doctor()).toContain("PUBLICATION_LOST");
    await stream.sql(`CREATE PUBLICATION afterimage_${stream.stream} FOR TABLE t`);
    expect(await halts()).toContain("PUBLICATION_FOREIGN");
  });

  test("SLOT_AHEAD when somebody advanced the slot; the publication stays as it is", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await slotsReleased(stream.database.url);
    await stream.sql("INSERT INTO t VALUES (1, 'lost')");
    await stream.sql("SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", [`afterimage_${stream.stream}`]);
    await stream.sql("CREATE TABLE later (id int PRIMARY KEY)");
    expect(await halts()).toContain("SLOT_AHEAD");
    const { rows } = await stream.sql("SELECT tablename FROM pg_publication_tables WHERE pubname = $1", [
      `afterimage_${stream.stream}`,
    ]);
    expect(rows).toEqual([{ tablename: "t" }]);
  });

  test("TABLE_REPUBLISHED when a table left the publication and came back", async () => {
    stream = await CapturedStream.create(TABLE, HALTING);
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await stream.sql(`ALTER PUBLICATION afterimage_${stream.stream} DROP TABLE t`);
    await stream.sql("INSERT INTO t VALUES (1, 'lost')");
    await stream.sql(`ALTER PUBLICATION afterimage_${stream.stream} ADD TABLE t`);
    expect(await halts()).toContain("TABLE_REPUBLISHED");
  });

  test("TABLE_REPUBLISHED when the configuration left a table out for a while", async () => {
    stream = await CapturedStream.create(TABLE, HALTING);
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await stream.start({ AFTERIMAGE_TABLES: "*.*,!public.t" });
    await stream.sql("INSERT INTO t VALUES (1, 'left out')");
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    expect(await halts()).toContain("TABLE_REPUBLISHED");
  });

  test("TOPIC_MISSING when a topic was deleted", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.published();
    await stream.daemon.kill("SIGTERM");
    await removeTopics(stream.brokers, [`${stream.stream}.public.t`]);
    expect(await halts()).toContain("TOPIC_MISSING");
  });

  test("KEY_CHANGED when the primary key moves to another column; nothing is published after it", async () => {
    stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, other int NOT NULL)", HALTING);
    await stream.sql("INSERT INTO t VALUES (1, 10)");
    await stream.published();
    await stream.sql("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (other)");
    await stream.sql("INSERT INTO t VALUES (2, 20)");
    const { code } = await stream.daemon.exited();
    expect(code).not.toBe(0);
    expect(stream.daemon.output()).toContain("KEY_CHANGED");
    expect((await readTopic(inject("brokers"), `${stream.stream}.public.t`)).length).toBe(1);
  });

  test("RECORD_TOO_LARGE for a row above the broker's limit; nothing is skipped", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.sql("INSERT INTO t VALUES (1, 'a')");
    await stream.published();
    await stream.sql("INSERT INTO t VALUES (2, repeat('0123456789abcdef', 1100000))");
    await stream.sql("INSERT INTO t VALUES (3, 'c')");
    const { code } = await stream.daemon.exited();
    expect(code).not.toBe(0);
    expect(stream.daemon.output()).toContain("RECORD_TOO_LARGE");
    expect((await stream.stored()).map(({ event }) => event.sequence)).toEqual([1]);
  });
});
