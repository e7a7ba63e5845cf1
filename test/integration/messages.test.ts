// Transactional messages: numbered events in their place among the rows, whatever is killed in the middle.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ChangeEvent, MessageEvent } from "../../src/event/change-event.ts";
import { messageBytes } from "../../src/event/message.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { statusOf } from "../support/admin.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { armed } from "../support/failpoints/armed.ts";
import { listTopics, makeTopics, removeTopics } from "../support/topics.ts";
import { verifyDatabase } from "../support/verify-run.ts";

let stream: CapturedStream;
const folder = mkdtempSync(join(tmpdir(), "afterimage-messages-"));
beforeAll(async () => {
  // Pieces of a few events.
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)", {
    AFTERIMAGE_MESSAGES_PREFIXES: "outbox,audit.*",
    AFTERIMAGE_BATCH_MAX_BYTES: "64KiB",
  });
});
afterAll(async () => {
  await stream.drop();
  rmSync(folder, { recursive: true });
});

const emit = (prefix: string, content: string, transactional = true) =>
  `SELECT pg_logical_emit_message(${transactional}, '${prefix}', ${content})`;
const row = (id: number) => `INSERT INTO t VALUES (${id}, repeat('x', 20000))`;
const isMessage = (event: ChangeEvent): event is MessageEvent => event.operation === "message";
const placeOf = ({ operation, key, after, sequence, transaction: { index, last } }: ChangeEvent) => [
  operation === "message" ? (after as MessageEvent["after"]).content.slice(0, 6) : key!.id,
  sequence,
  index,
  last === true,
];

test("those with a wanted prefix are events in their place; all that are transactional count in the index", async () => {
  await stream.sql("BEGIN");
  await stream.sql(`${emit("outbox", "'first'")}; ${row(1)}; ${emit("other", "'counts'")}`);
  await stream.sql(`${emit("outbox", "'second'")}; SAVEPOINT a; ${emit("outbox", "'undone'")}; ROLLBACK TO a`);
  await stream.sql(`${emit("outbox", "'placeless'", false)}; ${row(2)}; ${emit("audit.login", "'third'")}`);
  await stream.sql(`${emit("other", "'counts'")}`);
  await stream.sql("COMMIT");
  await stream.sql(`BEGIN; ${emit("outbox", "'never'")}; ROLLBACK`);
  await stream.sql(emit("outbox", "'alone'"));
  const events = await stream.events();
  expect(events.map(placeOf)).toEqual([
    ["first", 1, 1, false],
    [1, 2, 2, false],
    ["second", 3, 4, false],
    [2, 4, 5, false],
    ["third", 5, 6, true],
    ["alone", 6, 1, true],
  ]);
  const stored = (await stream.stored()).filter(({ event }) => isMessage(event));
  expect(stored.map(({ topic, key }) => [topic, key])).toEqual(
    ["outbox", "outbox", "audit.login", "outbox"].map((prefix) => [`${stream.stream}.messages`, prefix]),
  );
  expect(stored[2]!.event).toMatchObject({
    table: null,
    schema: null,
    key: null,
    before: null,
    after: { prefix: "audit.login", content: "third", encoding: "utf8" },
  });
  expect((await statusOf(stream.daemon)).messages).toEqual({
    topic: `${stream.stream}.messages`,
    published: 4,
    notTransactional: 1,
  });
});

test("every content comes back byte for byte", async () => {
  const contents = ["''", String.raw`'\x00'`, String.raw`'\xefbbbf41'`, String.raw`'\xff00fe'`, String.raw`'\xeda080'`];
  for (const content of contents) {
    await stream.sql(emit("outbox", `${content}::bytea`));
  }
  await stream.sql(emit("outbox", String.raw`E'"\\ \u2028 é 🙂 \n'`));
  const messages = (await stream.events()).filter(isMessage).slice(4);
  expect(messages.map((message) => Buffer.from(messageBytes(message)).toString("hex"))).toEqual([
    ...["", "00", "efbbbf41", "ff00fe", "eda080"],
    Buffer.from('"\\ \u2028 é 🙂 \n').toString("hex"),
  ]);
  const encodings = messages.map(({ after }) => after.encoding);
  expect(encodings).toEqual(["utf8", "utf8", "utf8", "base64", "base64", "utf8"]);
});

test.each(["publisher.progress-produced", "publisher.committed"] as const)(
  "killed at %s in the middle of a transaction, it goes on behind the message that was published last",
  async (moment) => {
    const { sequence } = await stream.published();
    await stream.daemon.kill();
    const statements = Array.from({ length: 12 }, (_, at) => [
      row(sequence * 1_000 + at),
      emit("outbox", `'m${at} ' || repeat('y', 30000)`),
      emit("other", "'counts'"),
    ]);
    await stream.sql(`BEGIN; ${statements.flat().join("; ")}; COMMIT`);
    const doomed = stream.spawn(armed(moment, 4, "kill", join(folder, moment)));
    expect((await doomed.exited()).signal).toBe("SIGKILL");
    expect((await stream.progress())!.last!.complete).toBe(false);
    if (moment === "publisher.committed") {
      const changed = stream.spawn({ AFTERIMAGE_MESSAGES_PREFIXES: "outbox" });
      expect((await changed.exited()).code, changed.output()).toBe(4);
      expect(changed.output()).toContain("RESUME_MISMATCH");
    }
    await stream.start();
    const events = (await stream.events()).filter((event) => event.sequence > sequence);
    expect(events.map(placeOf)).toEqual(
      Array.from({ length: 24 }, (_, at) => {
        const pair = Math.floor(at / 2);
        const isRow = at % 2 === 0;
        const what = isRow ? sequence * 1_000 + pair : `m${pair} ${"y".repeat(6)}`.slice(0, 6);
        return [what, sequence + 1 + at, pair * 3 + (isRow ? 1 : 2), at === 23];
      }),
    );
  },
);

test("a consumer applies every message once, in one transaction with its position", async () => {
  const messages = (await stream.events()).filter(isMessage);
  const wanted = messages.filter(({ after }) => after.prefix === "outbox");
  const file = join(folder, "view.db");
  const start = (failAt: number | null) => {
    const consumer = createConsumer({
      kafka: { brokers: stream.brokers },
      stream: stream.stream,
      group: "messages",
      store: sqliteStore(file, { setup: "CREATE TABLE seen (n INTEGER PRIMARY KEY, sequence INTEGER, content TEXT)" }),
      onCommit: ({ lag, waitingFor }) => void (lag === 0 && waitingFor.length === 0 && consumer.stop()),
    });
    consumer.register("public.t", (event, { tx }) => tx.run("INSERT INTO seen VALUES (NULL, ?, NULL)", event.sequence));
    return consumer.onMessage("outbox", ({ sequence, after }, { tx }) => {
      tx.run("INSERT INTO seen VALUES (NULL, ?, ?)", sequence, after.content);
      if (sequence === failAt) throw new TypeError("The handler's own.");
    });
  };
  await expect(start(wanted.at(-3)!.sequence).run()).rejects.toMatchObject({
    code: "HANDLER_FAILED",
    message: expect.stringContaining('message of "outbox"'),
  });
  await start(null).run();
  const view = new DatabaseSync(file, { readOnly: true });
  const seen = view.prepare("SELECT sequence, content FROM seen WHERE content IS NOT NULL ORDER BY n").all();
  const rows = view.prepare("SELECT count(*) AS n FROM seen WHERE content IS NULL").get()!.n;
  view.close();
  expect(seen).toEqual(wanted.map(({ sequence, after: { content } }) => ({ sequence, content })));
  expect(rows).toBe((await stream.events()).length - messages.length);
});

test("verify proves the stream with its messages; their topic made again is noticed, and removed by drop", async () => {
  await stream.published();
  const { code, report, kinds, output } = await verifyDatabase(stream);
  expect({ code, kinds }, output).toEqual({ code: 0, kinds: [] });
  expect(report).toMatchObject({ topics: 2, events: (await stream.progress())!.sequence });
  await stream.daemon.kill("SIGTERM");
  await removeTopics(stream.brokers, [`${stream.stream}.messages`]);
  await makeTopics(stream.brokers, [{ topic: `${stream.stream}.messages`, numPartitions: 4 }]);
  const halted = stream.spawn();
  expect((await halted.exited()).code, halted.output()).toBe(4);
  expect(halted.output()).toContain("TOPIC_RECREATED");
  const drop = stream.ask("drop", {}, [stream.stream, "--topics", "--yes"]);
  expect((await drop.exited()).code, drop.output()).toBe(0);
  expect(await listTopics(stream.brokers, `${stream.stream}.`)).toEqual([]);
});
