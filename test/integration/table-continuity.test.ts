// A table that leaves the publication, is renamed, detached or dropped: its older rows still count, and rows that were
// lost halt the stream by name when they shall not be read (onRewrite: halt).
import { afterEach, describe, expect, test } from "vitest";
import { CapturedStream } from "../support/captured-stream.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const TABLE = "CREATE TABLE t (id int PRIMARY KEY)";
const publication = () => `afterimage_${stream.stream}`;

async function expectHalt(code: string): Promise<void> {
  const { code: exit } = await stream.daemon.exited();
  expect(stream.daemon.output()).toContain(code);
  expect(exit).not.toBe(0);
}

const keys = async () => (await stream.events()).map(({ key }) => key);

describe("while the daemon runs", () => {
  test("out of the publication and back: TABLE_REPUBLISHED, also after a restart", async () => {
    stream = await CapturedStream.create(TABLE, { AFTERIMAGE_ON_REWRITE: "halt" });
    await stream.sql("INSERT INTO t VALUES (1)");
    await stream.published();
    await stream.sql(`ALTER PUBLICATION ${publication()} DROP TABLE t`);
    await stream.sql("INSERT INTO t VALUES (2)");
    await stream.sql(`ALTER PUBLICATION ${publication()} ADD TABLE t`);
    await stream.sql("INSERT INTO t VALUES (3)");
    await expectHalt("TABLE_REPUBLISHED");
    const again = stream.spawn();
    await again.exited();
    expect(again.output()).toContain("TABLE_REPUBLISHED");
  });

  test("the publication is dropped: PUBLICATION_LOST within seconds", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.published();
    await stream.sql(`DROP PUBLICATION ${publication()}`);
    await expectHalt("PUBLICATION_LOST");
  });

  test("out of the publication, and not back: the log says within seconds that its rows are missing from here on", async () => {
    stream = await CapturedStream.create(`${TABLE}; CREATE TABLE u (id int PRIMARY KEY)`);
    await stream.published();
    await stream.sql(`ALTER PUBLICATION ${publication()} DROP TABLE t`);
    await stream.daemon.says("Table public.t left the publication");
    await stream.sql("INSERT INTO u VALUES (1)");
    expect(await keys()).toEqual([{ id: 1 }]);
  });

  test("a rename: TABLE_RENAMED within seconds, also without a row", async () => {
    stream = await CapturedStream.create(TABLE, { AFTERIMAGE_ON_REWRITE: "halt" });
    await stream.published();
    await stream.sql("ALTER TABLE t RENAME TO u");
    await expectHalt("TABLE_RENAMED");
  });
});

describe("while the daemon is down, rows written before still count", () => {
  test("renamed: TABLE_RENAMED before anything is written; renamed back, it goes on", async () => {
    stream = await CapturedStream.create("CREATE TABLE orders (id int PRIMARY KEY)", {
      AFTERIMAGE_TABLES: "public.orders",
      AFTERIMAGE_ON_REWRITE: "halt",
    });
    await stream.sql("INSERT INTO orders VALUES (1)");
    await stream.published();
    await stream.daemon.kill();
    await stream.sql("INSERT INTO orders VALUES (2); ALTER TABLE orders RENAME TO orders_old");
    const halted = stream.spawn();
    await halted.exited();
    expect(halted.output()).toContain("TABLE_RENAMED: Table public.orders is now called public.orders_old");
    await stream.sql("ALTER TABLE orders_old RENAME TO orders");
    await stream.start();
    expect(await keys()).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test("a partition that was detached and dropped", async () => {
    stream = await CapturedStream.create(
      `CREATE TABLE ev (id int PRIMARY KEY) PARTITION BY RANGE (id);
       CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (100);
       CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (100) TO (200)`,
      { AFTERIMAGE_TABLES: "public.ev" },
    );
    await stream.sql("INSERT INTO ev VALUES (1)");
    await stream.published();
    await stream.daemon.kill();
    await stream.sql("INSERT INTO ev VALUES (2), (102)");
    await stream.sql("ALTER TABLE ev DETACH PARTITION ev_1; DROP TABLE ev_1");
    await stream.start();
    expect(await keys()).toEqual([{ id: 1 }, { id: 2 }, { id: 102 }]);
  });

  test("dropped", async () => {
    stream = await CapturedStream.create(TABLE);
    await stream.published();
    await stream.daemon.kill();
    await stream.sql("INSERT INTO t VALUES (1)");
    await stream.sql("DROP TABLE t");
    await stream.start();
    expect(await keys()).toEqual([{ id: 1 }]);
  });

  test("made, filled and dropped under a publication for all tables", async () => {
    stream = await CapturedStream.create(`${TABLE}; CREATE PUBLICATION everything FOR ALL TABLES`, {
      AFTERIMAGE_POSTGRES_PUBLICATION: "everything",
    });
    await stream.published();
    await stream.daemon.kill();
    await stream.sql("CREATE TABLE staging (id int PRIMARY KEY)");
    await stream.sql("INSERT INTO staging VALUES (7)");
    await stream.sql("DROP TABLE staging");
    await stream.start();
    expect(await keys()).toEqual([{ id: 7 }]);
  });
});
