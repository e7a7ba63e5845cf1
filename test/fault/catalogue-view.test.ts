// Two views of one stream, and two processes on one view: whatever is read again changes nothing, and an owner that was
// frozen can't overwrite what a later one wrote.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, inject, onTestFinished, test } from "vitest";
import type { Registration, SqliteTransaction } from "../../src/sdk/index.ts";
import { uniqueStream } from "../support/database.ts";
import { mirror, openWriter, query, row, start, TABLE, temporaryFile } from "../support/products-view.ts";
import { type Change, INT4, INT8, removeTopics, StreamWriter, TEXT } from "../support/stream-writer.ts";
import { waitFor } from "../support/wait-for.ts";

const VIEW = fileURLToPath(new URL("../support/counting-view.ts", import.meta.url));
const contents = (file: string) => query(file, "SELECT * FROM products ORDER BY id");

/** Inserts, updates, key changes, deletes and a truncate. */
function history(): Change[] {
  const at = (from: number, to: number) => Array.from({ length: to - from }, (_, id) => from + id);
  return [
    ...at(0, 100).map((id) => ({ insert: row(id, "before") })),
    "truncate",
    ...at(0, 300).map((id) => ({ insert: row(id, "first", `body ${id}`) })),
    ...at(0, 200).map((id) => ({ update: row(id, `second ${id}`) })),
    ...at(0, 50).map((id) => ({ move: { id: String(id) }, to: row(id + 1000, "moved") })),
    ...at(50, 80).map((id) => ({ delete: { id: String(id) } })),
    ...at(100, 120).map((id) => ({ delete: { id: String(id) } })),
    ...at(100, 110).map((id) => ({ insert: row(id, "again") })),
  ];
}

test("a fresh view from offset 0 equals the live one; the live one set back to offset 0 passes everything it has", async () => {
  const stream = uniqueStream();
  const writer = await openWriter(stream);
  const [live, fresh] = [temporaryFile(), temporaryFile()];
  const first = start(stream, live);
  await writer.publish(TABLE, history());
  await first.reaches(writer.sequence);
  const second = start(stream, fresh);
  await second.reaches(writer.sequence);
  expect(contents(fresh)).toEqual(contents(live));
  expect(contents(live)).toHaveLength(300 - 30 - 10);
  await first.consumer.stop();

  const database = new DatabaseSync(live);
  database.exec("UPDATE afterimage_checkpoints SET offset = 0");
  database.close();
  const seen: number[] = [];
  const counting: Registration<SqliteTransaction> = {
    upsert: (values, context) => {
      seen.push(context.event.sequence);
      return mirror.upsert?.(values, context);
    },
    remove: (key, context) => {
      seen.push(context.event.sequence);
      return mirror.remove?.(key, context);
    },
    clear: (context) => {
      seen.push(context.event.sequence);
      return mirror.clear?.(context);
    },
  };
  const replayed = start(stream, live, counting);
  await writer.publish(TABLE, [{ insert: row(5000, "after the replay") }]);
  await replayed.reaches(writer.sequence);
  await second.reaches(writer.sequence);
  expect(seen).toEqual([writer.sequence]);
  expect(contents(live)).toEqual(contents(fresh));
});

test("a frozen owner keeps others out; one whose view went on without it writes nothing when it wakes up", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await StreamWriter.open({
    stream,
    tables: [
      {
        table: TABLE,
        columns: [
          ["id", INT8, 1],
          ["name", TEXT, null],
          ["stock", INT4, null],
        ],
      },
    ],
  });
  onTestFinished(async () => {
    await writer.close();
    await removeTopics(writer.topics.values());
  });
  const child = spawn(process.execPath, [VIEW, inject("brokers").join(","), stream, TABLE, file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const insert = (from: number) =>
    Array.from({ length: 100 }, (_, id) => ({ insert: { id: String(from + id), name: "a", stock: "1" } }));
  const counted = () => query(file, "SELECT count(*) AS n FROM events")[0]?.n;
  await writer.publish(TABLE, insert(0));
  await waitFor(() => isThere(file) && counted() === 100, { what: "the first events in the view" });
  child.kill("SIGSTOP");
  await expect(start(stream, file).ended).rejects.toMatchObject({ code: "STORE_IS_LOCKED" });

  // What a lock can't prevent: another owner of the same file, as after a restore of it under the sleeper.
  const database = new DatabaseSync(file);
  database.exec("UPDATE afterimage_checkpoints SET token = token + 1");
  database.close();
  await writer.publish(TABLE, insert(100));
  child.kill("SIGCONT");
  const [code] = await once(child, "close");
  expect(code).not.toBe(0);
  expect(said).toContain("STORE_FENCED");
  expect(counted()).toBe(100);
  expect(contents(file)).toHaveLength(100);
});

function isThere(file: string): boolean {
  try {
    return query(file, "SELECT 1 FROM events LIMIT 1").length === 1;
  } catch {
    return false; // not made yet
  }
}
