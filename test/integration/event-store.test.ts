// The event store on a real Postgres: append-only, versions, one order without gaps, old events, earlier states.
import pg from "pg";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  AfterimageError,
  createIdempotency,
  EventConflict,
  EventStore,
  type EventStoreOptions,
  postgresKeys,
} from "../../src/sdk/index.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";

let database: TestDatabase;
let events: EventStore;
beforeAll(async () => {
  database = await createDatabase();
  events = new EventStore({ postgres: database.url });
});
afterAll(async () => {
  await events.close();
  await database.drop();
});

let made = 0;
const newStream = (): string => `stream-${++made}`;

function open(options: Omit<EventStoreOptions, "postgres"> = {}): EventStore {
  const store = new EventStore({ postgres: database.url, ...options });
  onTestFinished(() => store.close());
  return store;
}

async function failure(promise: Promise<unknown>): Promise<AfterimageError> {
  const error = await promise.then(
    () => expect.fail("It was accepted."),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AfterimageError);
  return error as AfterimageError;
}

test("what is appended is read, from a version on, that one excluded", async () => {
  const stream = newStream();
  const data = { text: "\u0000\ud800 ä", list: [1, null, { b: 2, a: 0.1 }] };
  const first = await events.append(stream, "Written", data, { expectedVersion: 0 });
  expect(first).toMatchObject({ stream, type: "Written", data, version: 1 });
  expect(first.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  const more = await events.appendAll(stream, [
    { type: "Written", data: 2 },
    { type: "Other", data: null },
  ]);
  expect(more.map(({ version, position }) => [version, position - first.position])).toEqual([
    [2, 1],
    [3, 2],
  ]);
  expect(await events.read(stream)).toStrictEqual([first, ...more]);
  expect(await events.read(stream, { from: 1 })).toStrictEqual(more);
  expect(await events.read(stream, { from: 1, limit: 1 })).toStrictEqual(more.slice(0, 1));
  expect(await events.read(stream, { from: 3 })).toEqual([]);
  expect(await events.read("nobody's")).toEqual([]);
  expect(await events.readAll({ from: first.position - 1, limit: 3 })).toStrictEqual([first, ...more]);
});

test("another version than expected is a conflict, and nothing is appended", async () => {
  const stream = newStream();
  await events.append(stream, "A", 1, { expectedVersion: 0 });
  for (const expectedVersion of [0, 2, 7]) {
    const conflict = await failure(events.append(stream, "A", 2, { expectedVersion }));
    expect(conflict).toBeInstanceOf(EventConflict);
    expect(conflict).toMatchObject({ code: "EVENT_CONFLICT", expected: expectedVersion, actual: 1 });
  }
  expect(await events.append(stream, "A", 2, { expectedVersion: 1 })).toMatchObject({ version: 2 });
  const racing = Array.from({ length: 8 }, (_, at) => events.append(stream, "A", at, { expectedVersion: 2 }));
  const settled = await Promise.allSettled(racing);
  expect(settled.filter(({ status }) => status === "fulfilled").length).toBe(1);
  expect(settled.flatMap((one) => (one.status === "rejected" ? [one.reason.code] : []))).toEqual(
    Array(7).fill("EVENT_CONFLICT"),
  );
  expect((await events.read(stream)).map(({ version }) => version)).toEqual([1, 2, 3]);
});

test("the database itself refuses to change or remove events, a superuser's statements too", async () => {
  const stream = newStream();
  await events.append(stream, "A", 1);
  const refused = [
    "UPDATE afterimage.events SET data = '2'",
    "UPDATE afterimage.events SET data = '2' WHERE false",
    "DELETE FROM afterimage.events",
    "TRUNCATE afterimage.events CASCADE",
    "MERGE INTO afterimage.events e USING (SELECT 1) s ON e.version = 1 WHEN MATCHED THEN DELETE",
    "INSERT INTO afterimage.events SELECT * FROM afterimage.events ON CONFLICT (position) DO UPDATE SET data = '2'",
  ];
  const before = await events.readAll();
  for (const setting of ["origin", "replica"]) {
    await database.client.query(`SET session_replication_role = ${setting}`);
    for (const sql of refused) {
      await expect(database.client.query(sql), sql).rejects.toMatchObject({ code: "AI002" });
    }
  }
  await database.client.query("RESET session_replication_role");
  expect(await events.readAll()).toEqual(before);
});

test("an INSERT by hand gets the version, position and time that are its turn", async () => {
  const stream = newStream();
  const { position } = await events.append(stream, "A", 1);
  await database.client.query(
    `INSERT INTO afterimage.events (stream, type, data, position, version, "time") VALUES
      ($1, 'A', '2', 999, 999, '2000-01-01'), ($1, 'A', '3', 1, 1, '2100-01-01'), ($2, 'A', '1', 0, 0, '-infinity')`,
    [stream, `${stream}-other`],
  );
  const all = await events.readAll({ from: position - 1 });
  expect(all.map((event) => [event.stream, event.version, event.position - position])).toEqual([
    [stream, 1, 0],
    [stream, 2, 1],
    [stream, 3, 2],
    [`${stream}-other`, 1, 3],
  ]);
  expect(all.map(({ time }) => time)).toEqual(all.map(({ time }) => time).toSorted());
  expect(all.at(-1)!.time < "2090").toBe(true);
});

test("no gaps for readers: an open append holds back later ones, and a rollback leaves no hole", async () => {
  const begun = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  onTestFinished(() => end.resolve());
  const [slow, quick] = [newStream(), newStream()];
  const last = (await events.readAll()).at(-1)!.position;
  const open = events.transaction(async (tx) => {
    await events.append(slow, "Slow", 1, { tx });
    begun.resolve();
    await end.promise;
    throw new Error("rolled back");
  });
  await begun.promise;
  let isThrough = false;
  const later = events.append(quick, "Quick", 1).finally(() => {
    isThrough = true;
  });
  const waiting =
    "SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
  await waitFor(async () => (await database.client.query(waiting)).rows.length === 1, { what: "the append to wait" });
  expect(isThrough).toBe(false);
  expect(await events.readAll({ from: last })).toEqual([]);
  end.resolve();
  await expect(open).rejects.toThrow("rolled back");
  expect(await later).toMatchObject({ position: last + 1 });
  expect(await events.readAll({ from: last })).toMatchObject([{ stream: quick, position: last + 1 }]);
});

test("several streams in one transaction, all or nothing, and in that of an idempotency key", async () => {
  const [a, b] = [newStream(), newStream()];
  await events.append(b, "A", 0);
  const torn = events.transaction(async (tx) => {
    await events.append(a, "A", 1, { tx });
    await events.append(b, "A", 1, { tx, expectedVersion: 0 });
  });
  expect((await failure(torn)).code).toBe("EVENT_CONFLICT");
  expect(await events.read(a)).toEqual([]);
  const idempotency = createIdempotency({ store: postgresKeys(database.url) });
  onTestFinished(() => idempotency.close());
  const once = () => idempotency.process(a, async (tx) => (await events.append(a, "A", 1, { tx })).version);
  expect([await once(), await once()]).toEqual([
    { status: "processed", result: 1 },
    { status: "duplicate", result: 1 },
  ]);
  const serializable = new pg.Client({ connectionString: database.url });
  await serializable.connect();
  onTestFinished(() => serializable.end());
  await serializable.query("BEGIN ISOLATION LEVEL SERIALIZABLE");
  await expect(events.append(a, "A", 2, { tx: serializable })).rejects.toMatchObject({ code: "AI003" });
});

test("old versions of an event are brought to the present one; a newer one is refused", async () => {
  const stream = newStream();
  await events.append(stream, "Named", { name: "Ada Lovelace" });
  const second = open({ upcasters: { Named: [(old) => ({ names: old.name.split(" ") })] } });
  await second.append(stream, "Named", { names: ["Alan", "Turing"] });
  const third = open({
    upcasters: {
      Named: [(old) => ({ names: old.name.split(" ") }), ({ names }) => ({ first: names[0], last: names.at(-1) })],
    },
  });
  await third.append(stream, "Named", { first: "Grace", last: "Hopper" });
  expect((await third.read(stream)).map(({ data }) => data)).toEqual([
    { first: "Ada", last: "Lovelace" },
    { first: "Alan", last: "Turing" },
    { first: "Grace", last: "Hopper" },
  ]);
  expect((await failure(second.read(stream))).code).toBe("EVENT_VERSION_UNKNOWN");
  const stored = "SELECT type_version, data->>'name' AS name FROM afterimage.events WHERE stream = $1 ORDER BY version";
  expect((await database.client.query(stored, [stream])).rows).toEqual([
    { type_version: 1, name: "Ada Lovelace" },
    { type_version: 2, name: null },
    { type_version: 3, name: null },
  ]);
});

const SUM = {
  name: "sum",
  initial: { total: 0 },
  apply: (state: { total: number }, { data }: { data: number }) => {
    state.total += data;
    return state;
  },
};

test("a state now, at a version, at a time; the same with snapshots as without", async () => {
  const stream = newStream();
  const plain = events.aggregate({ ...SUM, snapshotEvery: 0 });
  const sum = events.aggregate({ ...SUM, snapshotEvery: 3 });
  const snapshots = async () =>
    (
      await database.client.query("SELECT version::int, state FROM afterimage.event_snapshots WHERE stream = $1", [
        stream,
      ])
    ).rows;
  expect(await sum.load(stream)).toEqual({ state: { total: 0 }, version: 0 });
  const stored = [];
  for (let at = 1; at <= 13; at++) {
    stored.push(await events.append(stream, "Added", at));
    const total = (at * (at + 1)) / 2;
    expect(await plain.load(stream)).toEqual({ state: { total }, version: at });
    expect(await sum.load(stream)).toEqual({ state: { total }, version: at });
  }
  expect(await snapshots()).toEqual([
    { version: 3, state: { total: 6 } },
    { version: 6, state: { total: 21 } },
    { version: 9, state: { total: 45 } },
    { version: 12, state: { total: 78 } },
  ]);
  for (const aggregate of [plain, sum]) {
    for (const { version, time } of stored) {
      const then = { state: { total: (version * (version + 1)) / 2 }, version };
      expect(await aggregate.load(stream, { version })).toEqual(then);
      expect(await aggregate.load(stream, { time })).toEqual(then);
    }
    expect(await aggregate.load(stream, { version: 0 })).toEqual({ state: { total: 0 }, version: 0 });
    expect(await aggregate.load(stream, { time: "2000-01-01T00:00:00Z" })).toMatchObject({ version: 0 });
    expect(await aggregate.load(stream, { time: new Date("9999-12-31T00:00:00Z") })).toMatchObject({ version: 13 });
    expect((await failure(aggregate.load(stream, { version: 14 }))).code).toBe("STREAM_VERSION_MISSING");
  }
  // A snapshot is used (it is made wrong here to show that), and not by an aggregate of another version.
  await database.client.query(`UPDATE afterimage.event_snapshots SET state = '{"total": 1000}' WHERE stream = $1`, [
    stream,
  ]);
  expect(await sum.load(stream)).toEqual({ state: { total: 1013 }, version: 13 });
  const changed = events.aggregate({ ...SUM, version: 2, snapshotEvery: 3 });
  expect(await changed.load(stream)).toEqual({ state: { total: 91 }, version: 13 });
});

test("a stream of more than a page", async () => {
  const stream = newStream();
  await events.appendAll(
    stream,
    Array.from({ length: 2500 }, (_, at) => ({ type: "Added", data: at })),
  );
  const { state, version } = await events.aggregate(SUM).load(stream);
  expect([state.total, version]).toEqual([(2500 * 2499) / 2, 2500]);
  expect((await events.read(stream)).length).toBe(1000);
});

test.each([
  ["no name", () => events.append("", "A", 1)],
  ["U+0000 in a name", () => events.read("a\0")],
  ["no type", () => events.append("a", "", 1)],
  ["no events", () => events.appendAll("a", [])],
  ["half a version", () => events.append("a", "A", 1, { expectedVersion: 0.5 })],
  ["a version below zero", () => events.read("a", { from: -1 })],
  ["no time", () => events.aggregate(SUM).load("a", { time: "yesterday" })],
  ["an invalid Date", () => events.aggregate(SUM).load("a", { time: new Date("x") })],
  ["a version and a time", () => events.aggregate(SUM).load("a", { version: 1, time: new Date() })],
])("%s is refused", async (_, call) => {
  expect((await failure(call())).code).toBe("EVENT_INVALID");
});

test("data that JSON can't hold is refused", async () => {
  const stream = newStream();
  expect((await failure(events.append(stream, "A", { at: new Date() }))).code).toBe("VALUE_NOT_JSON");
  expect(await events.read(stream)).toEqual([]);
});
