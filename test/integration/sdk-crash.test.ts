// A consumer that is killed at any moment: nothing lost, nothing twice.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, inject, onTestFinished, test } from "vitest";
import { uniqueStream } from "../support/database.ts";
import { type Change, INT4, INT8, removeTopics, StreamWriter, TEXT } from "../support/stream-writer.ts";
import { waitFor } from "../support/wait-for.ts";

const TABLE = "public.products";
const VIEW = fileURLToPath(new URL("../support/counting-view.ts", import.meta.url));

function startView(stream: string, file: string): { child: ChildProcess; applied: () => number } {
  const child = spawn(process.execPath, [VIEW, inject("brokers").join(","), stream, TABLE, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return { child, applied: () => Number(output.match(/\d+(?=\n[^\n]*$)/)?.[0] ?? 0) };
}

test("SIGKILL in the middle of the work, several times", async () => {
  const stream = uniqueStream();
  const folder = mkdtempSync(join(tmpdir(), "afterimage-sdk-"));
  const file = join(folder, "view.db");
  onTestFinished(() => rmSync(folder, { recursive: true }));
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
  const expected = new Map<number, { name: string; stock: number }>();
  const publishRound = async (round: number): Promise<void> => {
    const changes: Change[] = [];
    if (round === 4) {
      changes.push("truncate");
      expected.clear();
    }
    for (let at = 0; at < 600; at++) {
      const id = (at * 7 + round * 13) % 500;
      if (at % 9 === 8 && expected.has(id)) {
        changes.push({ delete: { id: String(id) } });
        expected.delete(id);
      } else {
        const row = { name: `round ${round}`, stock: at };
        const columns = { id: String(id), name: row.name, stock: String(at) };
        changes.push(expected.has(id) ? { update: columns } : { insert: columns });
        expected.set(id, row);
      }
    }
    await writer.publish(TABLE, changes);
  };

  for (let round = 0; round < 6; round++) {
    const before = writer.sequence;
    await publishRound(round);
    const { child, applied } = startView(stream, file);
    await publishRound(round + 100);
    // Killed somewhere between its first commits and the last.
    await waitFor(() => applied() > before, { what: "a commit of the view" });
    child.kill("SIGKILL");
    await once(child, "close");
  }

  const last = startView(stream, file);
  await publishRound(999);
  const positions = () => {
    const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
    try {
      return database.prepare("SELECT count(*) AS n FROM events").get()!.n as number;
    } finally {
      database.close();
    }
  };
  await waitFor(() => positions() >= writer.sequence, { what: `all ${writer.sequence} events` });
  last.child.kill("SIGTERM");
  expect(await once(last.child, "close")).toEqual([0, null]);

  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  const events = database
    .prepare("SELECT count(*) AS n, count(DISTINCT sequence) AS d, max(sequence) AS m FROM events")
    .get();
  expect({ ...events }).toEqual({ n: writer.sequence, d: writer.sequence, m: writer.sequence });
  const rows = database.prepare("SELECT id, name, stock FROM products ORDER BY id").all();
  expect(rows.map((row) => ({ ...row }))).toEqual(
    [...expected].sort(([a], [b]) => a - b).map(([id, row]) => ({ id, ...row })),
  );
  database.close();
});
