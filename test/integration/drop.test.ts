// `afterimage drop`: removes what is ours, in order, each part possibly gone; refuses while a daemon streams.
import { afterAll, beforeAll, beforeEach, expect, inject, test } from "vitest";
import { spawnCli, spawnDaemon } from "../support/daemon.ts";
import { createDatabase, slotsReleased, type TestDatabase, unique, uniqueStream } from "../support/database.ts";
import { deleteTopics, listTopics, makeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let stream: string;
let servers: string[];
beforeAll(async () => {
  database = await createDatabase();
  await database.client.query("CREATE TABLE items (id int PRIMARY KEY)");
  servers = ["--postgres", database.url, "--kafka", inject("brokers").join(",")];
});
beforeEach(() => {
  stream = uniqueStream();
});
afterAll(() => database.drop());

const drop = (...args: string[]) => dropWith({}, ...args);

async function dropWith(env: Record<string, string>, ...args: string[]) {
  const command = spawnCli(["drop", stream, ...servers, ...args], env);
  const { code } = await command.exited();
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

/** A stream that has published one event and was stopped. */
async function streamOnce(): Promise<void> {
  const daemon = spawnDaemon(["--stream", stream, "--admin-port", "0", ...servers]);
  try {
    await daemon.says('"state":"streaming"');
    await database.client.query("INSERT INTO items VALUES ((SELECT coalesce(max(id), 0) + 1 FROM items))");
    await waitFor(async () => (await listTopics(inject("brokers"), `${stream}.`)).length === 3, {
      what: "three topics",
    });
  } finally {
    await daemon.kill("SIGTERM");
    await slotsReleased(database.url);
  }
}

async function left(): Promise<string[]> {
  const { rows } = await database.client.query(
    `SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()
      UNION ALL SELECT pubname FROM pg_publication`,
  );
  return rows.map(({ name }) => name as string);
}

test("without --yes nothing is removed; with it slot and publication go, the topics stay and halt the next start", async () => {
  await streamOnce();
  const asked = await drop();
  expect(asked.code).toBe(2);
  expect(asked.stdout).toMatch(/replication slot afterimage_\w+, which keeps \d.* of WAL on the server/);
  expect(asked.stderr).toContain("DROP_NOT_CONFIRMED: ");
  expect(await left()).toHaveLength(2);

  const dropped = await drop("--yes");
  expect(dropped).toMatchObject({ code: 0, stderr: "" });
  expect(dropped.stdout).toContain("halts with SLOT_LOST");
  expect(await left()).toEqual([]);
  expect(await listTopics(inject("brokers"), `${stream}.`)).toHaveLength(3);

  const start = spawnDaemon(["--stream", stream, "--admin-port", "0", ...servers]);
  expect((await start.exited()).code).toBe(4);
  expect(start.stderr()).toContain("SLOT_LOST: ");
  expect(start.stderr()).toContain(`drop ${stream} --topics`);

  expect((await drop("--yes", "--topics")).code).toBe(0);
  await waitFor(async () => (await listTopics(inject("brokers"), `${stream}.`)).length === 0, { what: "no topics" });
});

test("a drop that finds everything gone is content", async () => {
  const nothing = await drop("--topics");
  expect(nothing).toMatchObject({ code: 0, stderr: "" });
  expect(nothing.stdout).toContain("already gone");
});

test("only the stream's own topics are deleted; a publication of somebody else's stays", async () => {
  await streamOnce();
  const foreign = `${stream}.not.ours`;
  await makeTopics(inject("brokers"), [{ topic: foreign }]);
  const publication = `afterimage_${stream}`;
  await database.client.query(`DROP PUBLICATION ${publication}; CREATE PUBLICATION ${publication} FOR TABLE items`);
  const dropped = await drop("--yes", "--topics");
  expect(dropped.stdout).toContain(`not publication ${publication}`);
  expect(dropped.code).toBe(0);
  expect(await left()).toEqual([publication]);
  await waitFor(async () => (await listTopics(inject("brokers"), `${stream}.`)).length === 1, {
    what: "one topic left",
  });
  expect(await listTopics(inject("brokers"), `${stream}.`)).toEqual([foreign]);
  await deleteTopics(inject("brokers"), foreign);
  await database.client.query(`DROP PUBLICATION ${publication}`);
});

test("refused while a daemon streams", async () => {
  const daemon = spawnDaemon(["--stream", stream, "--admin-port", "0", ...servers]);
  try {
    await daemon.says('"state":"streaming"');
    const refused = await drop("--yes", "--topics");
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain("SLOT_IN_USE: ");
    expect(await left()).toHaveLength(2);
  } finally {
    await daemon.kill("SIGTERM");
    await slotsReleased(database.url);
  }
  expect((await drop("--yes", "--topics")).code).toBe(0);
});

test("the slot of a stream of the same name in another database stays", async () => {
  await streamOnce();
  const other = new URL(database.url);
  other.pathname = "/postgres";
  const refused = await drop("--yes", "--topics", "--postgres", other.href);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain("SLOT_FOREIGN: ");
  expect(await left()).toHaveLength(2);
  expect(await listTopics(inject("brokers"), `${stream}.`)).toHaveLength(3);
  expect((await drop("--yes", "--topics")).code).toBe(0);
});

test("topics that another database filled stay, unless that is meant", async () => {
  await streamOnce();
  const other = await createDatabase();
  try {
    // As where the server is another one: no slot of that name is to be seen there.
    const elsewhere = (...args: string[]) =>
      dropWith(
        { AFTERIMAGE_STREAM: stream, AFTERIMAGE_POSTGRES_SLOT: `${stream}_elsewhere` },
        ...["--yes", "--topics", "--postgres", other.url, ...args],
      );
    const refused = await elsewhere();
    expect(refused.code).toBe(4);
    expect(refused.stderr).toContain("SERVER_FOREIGN: ");
    expect(refused.stderr).toContain("--foreign-server");
    expect(await listTopics(inject("brokers"), `${stream}.`)).toHaveLength(3);

    expect((await elsewhere("--foreign-server")).code).toBe(0);
    await waitFor(async () => (await listTopics(inject("brokers"), `${stream}.`)).length === 0, { what: "no topics" });
    expect(await left()).toHaveLength(2);
  } finally {
    await other.drop();
  }
  expect((await drop("--yes")).code).toBe(0);
});

test("the publication of a tail that was killed goes too", async () => {
  const orphan = unique("afterimage_tail");
  await database.client.query(`CREATE PUBLICATION ${orphan} FOR TABLE items`);
  await database.client.query(`COMMENT ON PUBLICATION ${orphan} IS 'made by afterimage'`);
  expect((await drop("--yes")).stdout).toContain(`Dropped publication ${orphan}`);
  expect(await left()).toEqual([]);
});
