// SIGKILL at every step of a consumer with a SQLite view that counts each event in the transaction that applies it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { playTopic } from "../../../dev/demo/compare.ts";
import { UNCHANGED } from "../../../src/event/column-value.ts";
import { type SpawnedDaemon, spawnNode } from "../../support/daemon.ts";
import { uniqueStream } from "../../support/database.ts";
import type { Kills, Moment } from "../../support/failpoints/kills.ts";
import { query } from "../../support/products-view.ts";
import {
  type Change,
  INT4,
  INT8,
  removeTopics,
  StreamWriter,
  TEXT,
  type TextRow,
} from "../../support/stream-writer.ts";
import { readTopic } from "../../support/topics.ts";
import { waitFor } from "../../support/wait-for.ts";

const TABLE = "public.products";
const VIEW = fileURLToPath(new URL("../../support/counting-view.ts", import.meta.url));
const COLUMNS = [
  ["id", INT8, 1],
  ["name", TEXT, null],
  ["stock", INT4, null],
] as const;

const MOMENTS: readonly Moment[] = [
  "store.setup-made",
  "store.tokens-raised",
  "store.checkpoints-made",
  ["store.tokens-raised", 1],
  "consumer.positions-read",
  "consumer.fetched",
  ["consumer.fetched", 2],
  "applier.before-handler",
  ["applier.before-handler", 30],
  ["applier.handled", 30],
  "applier.joint-step-handled",
  "store.before-checkpoints",
  "store.checkpoints-written",
  "store.committed",
];

export function killView(kills: Kills): void {
  describe("a view", () => {
    const stream = uniqueStream();
    let folder: string;
    let file: string;
    let writer: StreamWriter;
    let round = 0;
    const spawn = (environment: Record<string, string>): SpawnedDaemon =>
      spawnNode(VIEW, [inject("brokers").join(","), stream, TABLE, file], environment);

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "afterimage-sdk-"));
      file = join(folder, "view.db");
      writer = await StreamWriter.open({ stream, tables: [{ table: TABLE, columns: COLUMNS }] });
    });
    afterAll(async () => {
      await writer?.close();
      await removeTopics(writer?.topics.values() ?? []);
      rmSync(folder, { recursive: true });
    });

    const publish = () => writer.publish(TABLE, changes(++round));

    kills.each(MOMENTS, async (moment) => {
      await publish();
      await publish();
      await kills.at(moment, spawn);
      expectNothingTwice(file);
    });

    test("killed while a partition stands at a barrier that others have not reached", async () => {
      const copies = writer.encode(TABLE, ["truncate"]);
      await writer.send(copies.slice(0, 2));
      await kills.at("applier.partition-held", spawn);
      expectNothingTwice(file);
      await writer.send(copies.slice(2));
    });

    test("killed before and after the commit of a barrier alone", async () => {
      for (const name of ["store.checkpoints-written", "store.committed"] as const) {
        await upToDate(spawn({}), "SIGKILL");
        await writer.publish(TABLE, ["truncate"]);
        await kills.at(name, spawn);
        expectNothingTwice(file);
      }
    });

    kills.each(["consumer.stopping", "consumer.stopped"], async (moment) => {
      await publish();
      await kills.at(moment, spawn, async (view) => {
        await view.says(/applied/);
        view.child.kill("SIGTERM");
      });
      expectNothingTwice(file);
    });

    test("afterwards every event was applied once, and the view is what the topic makes of it", async () => {
      await publish();
      await upToDate(spawn({}), "SIGTERM");
      const [events] = query(
        file,
        "SELECT count(*) AS n, count(DISTINCT sequence) AS d, min(sequence) AS first, max(sequence) AS last FROM events",
      );
      const n = writer.sequence;
      expect(events).toEqual({ n, d: n, first: 1, last: n });
      const played = playTopic(await readTopic(inject("brokers"), writer.topics.get(TABLE)!));
      expect(played).toMatchObject({ missing: [], duplicates: [], outOfOrder: [], unresolved: [] });
      const rows = query(file, "SELECT CAST(id AS TEXT) AS id, name, CAST(stock AS TEXT) AS stock FROM products");
      const byId = (a: { id?: unknown }, b: { id?: unknown }) => Number(a.id) - Number(b.id);
      expect(rows.toSorted(byId)).toEqual([...played.rows.values()].toSorted(byId));
      expect(rows.length).toBeGreaterThan(0);
    });

    async function upToDate(view: SpawnedDaemon, signal: NodeJS.Signals): Promise<void> {
      try {
        const applied = () => Number(view.stdout().match(/(\d+)\n$/)?.[1] ?? 0);
        const counted = () => query(file, "SELECT count(*) AS n FROM events")[0]!.n as number;
        await waitFor(() => applied() >= writer.sequence || counted() >= writer.sequence, {
          what: `sequence ${writer.sequence} in the view`,
        });
      } finally {
        await view.kill(signal);
      }
    }
  });
}

/** Inserts, updates, moves that leave a column unchanged, deletes; a truncate in between every fifth time. */
function changes(round: number): Change[] {
  const ids = Array.from({ length: 20 }, (_, at) => round * 100 + at);
  const row = (id: number, stock: number): TextRow => ({ id: String(id), name: `row ${id}`, stock: String(stock) });
  const unnamed = (id: number, stock: number): TextRow => ({ ...row(id, stock), name: UNCHANGED });
  const steps: Change[] = [
    ...ids.map((id) => ({ insert: row(id, 0) })),
    ...ids.slice(0, 10).map((id) => ({ update: unnamed(id, round) })),
    ...ids.slice(5, 9).map((id) => ({ move: row(id, round), to: unnamed(id + 50, 1) })),
    ...ids.slice(15).map((id) => ({ delete: row(id, 0) })),
  ];
  return round % 5 === 4 ? [...steps.slice(0, 12), "truncate", ...ids.map((id) => ({ insert: row(id, 9) }))] : steps;
}

function expectNothingTwice(file: string): void {
  const tables = query(file, "SELECT name FROM sqlite_schema WHERE name = 'events'");
  if (tables.length > 0) {
    expect(query(file, "SELECT sequence FROM events GROUP BY sequence HAVING count(*) > 1")).toEqual([]);
  }
}
