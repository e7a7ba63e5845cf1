// Whatever transactions Postgres sends in pieces, however it interleaves them and whenever the reader pauses: what is
// handed over is what protocol version 1 would have sent, and the folder of open transactions is empty afterwards.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { toLsn } from "../../src/event/lsn.ts";
import type { FrameSource } from "../../src/pipeline/parts.ts";
import { Spool } from "../../src/pipeline/spool.ts";
import { StreamedSource } from "../../src/pipeline/streamed-source.ts";
import type { FrameHandler } from "../../src/source/replication-stream.ts";
import { encodeMessage } from "../unit/pgoutput/messages.ts";
import { encodeControl, encodeStreamed } from "../unit/pgoutput/streamed-messages.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-spool-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Socket implements FrameSource {
  handler: FrameHandler | null = null;
  isReading = false;

  consume(handler: FrameHandler): void {
    this.handler = handler;
    this.isReading = true;
  }

  pause(): void {
    this.isReading = false;
  }

  resume(): void {
    this.isReading = true;
  }
}

/** What comes out, as text; pauses after every `pauseAfter` messages, when that is not 0. */
class Reader {
  readonly socket = new Socket();
  readonly got: string[] = [];
  readonly source: StreamedSource;
  error: unknown = null;
  #paused = false;
  readonly #ownFolder: string;

  constructor(pauseAfter: number, name = "server-slot") {
    this.#ownFolder = join(folder, name);
    this.source = new StreamedSource(this.socket, Spool.open(folder, name), (error) => {
      this.error = error;
    });
    const take = (text: string) => {
      this.got.push(text);
      if (pauseAfter > 0 && this.got.length % pauseAfter === 0) {
        this.#paused = true;
        this.source.pause();
      }
    };
    this.source.consume({
      wal: (bytes) => take(bytes.toString("hex")),
      keepalive: (walEnd) => take(`keepalive ${walEnd}`),
    });
  }

  /** As the driver does: one buffer behind all messages, and some still come after a pause. */
  send(frame: Buffer | bigint): void {
    if (typeof frame === "bigint") {
      this.socket.handler!.keepalive(toLsn(frame), false);
      return;
    }
    const shared = Buffer.from(frame);
    this.socket.handler!.wal(shared);
    shared.fill(0xff);
  }

  goOn(): void {
    if (this.#paused) {
      this.#paused = false;
      this.source.resume();
    }
  }

  async settle(): Promise<void> {
    for (let idle = 0; idle < 3; idle++) {
      const before = this.got.length;
      await turn();
      if (this.#paused || this.got.length > before) {
        idle = -1;
        this.goOn();
      }
    }
  }

  files(): string[] {
    return readdirSync(this.#ownFolder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("/"));
  }
}

const commitOf = (xid: number, at: bigint) => ({
  kind: "stream-commit" as const,
  xid,
  commitLsn: toLsn(at),
  endLsn: toLsn(at + 8n),
  commitTime: at,
});
const plainTransaction = (xid: number, at: bigint, rows: Buffer[]): Buffer[] => [
  encodeMessage({ kind: "begin", commitLsn: toLsn(at), commitTime: at, xid }),
  ...rows,
  encodeMessage({ kind: "commit", commitLsn: toLsn(at), endLsn: toLsn(at + 8n), commitTime: at }),
];
const insertOf = (value: string) => ({ kind: "insert" as const, relation: 1, new: [value] });

/** One step of the server. `of`: which of the transactions; `sub`: which of its subtransactions, 0 for none. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("piece" as const),
      of: fc.nat({ max: 2 }),
      rows: fc.array(
        fc.record({
          sub: fc.nat({ max: 2 }),
          size: fc.oneof(
            { weight: 20, arbitrary: fc.nat({ max: 40 }) },
            { weight: 1, arbitrary: fc.nat({ max: 300_000 }) },
          ),
        }),
        { maxLength: 6, size: "max" },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("rollBack" as const),
      of: fc.nat({ max: 2 }),
      sub: fc.integer({ min: 1, max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("abort" as const), of: fc.nat({ max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("commit" as const), of: fc.nat({ max: 2 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("small" as const), rows: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "keepalive" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "turn" as const }) },
);

test("what is handed over is what would have come without streaming", async () => {
  let rowsRolledBack = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 40, size: "max" }),
      fc.nat({ max: 7 }),
      async (steps, pauseAfter) => {
        const reader = new Reader(pauseAfter);
        const expected: string[] = [];
        let nextXid = 0xffff_fff0; // wraps
        let at = 100n;
        const xid = () => {
          nextXid = nextXid >= 0xffff_fffe ? 3 : nextXid + 1;
          return nextXid;
        };
        const open = new Map<number, { xid: number; subs: number[]; rows: { xid: number; plain: Buffer }[] }>();
        for (const [place, each] of steps.entries()) {
          const transaction = "of" in each ? open.get(each.of) : undefined;
          switch (each.kind) {
            case "piece": {
              const top = transaction ?? { xid: xid(), subs: [xid(), xid()], rows: [] };
              open.set(each.of, top);
              reader.send(encodeControl({ kind: "stream-start", xid: top.xid, first: transaction === undefined }));
              for (const { sub, size } of each.rows) {
                const of = sub === 0 ? top.xid : top.subs[sub - 1]!;
                const message = insertOf(`${place} ${"x".repeat(size)}`);
                top.rows.push({ xid: of, plain: encodeMessage(message) });
                reader.send(encodeStreamed(of, message));
              }
              reader.send(encodeControl({ kind: "stream-stop" }));
              break;
            }
            case "rollBack":
              if (transaction !== undefined) {
                const subxid = transaction.subs[each.sub - 1]!;
                const rows = transaction.rows.filter((row) => row.xid !== subxid);
                rowsRolledBack += transaction.rows.length - rows.length;
                transaction.rows = rows;
                // Its id is never used again.
                transaction.subs[each.sub - 1] = xid();
                reader.send(encodeControl({ kind: "stream-abort", xid: transaction.xid, subxid }));
              }
              break;
            case "abort":
              if (transaction !== undefined) {
                open.delete(each.of);
                reader.send(encodeControl({ kind: "stream-abort", xid: transaction.xid, subxid: transaction.xid }));
              }
              break;
            case "commit":
              if (transaction !== undefined) {
                open.delete(each.of);
                at += 10n;
                const plain = plainTransaction(
                  transaction.xid,
                  at,
                  transaction.rows.map((row) => row.plain),
                );
                expected.push(...plain.map((bytes) => bytes.toString("hex")));
                reader.send(encodeControl(commitOf(transaction.xid, at)));
              }
              break;
            case "small": {
              at += 10n;
              const rows = Array.from({ length: each.rows }, (_, row) =>
                encodeMessage(insertOf(`small ${place} ${row}`)),
              );
              for (const bytes of plainTransaction(xid(), at, rows)) {
                expected.push(bytes.toString("hex"));
                reader.send(bytes);
              }
              break;
            }
            case "keepalive":
              expected.push(`keepalive ${at}`);
              reader.send(at);
              break;
            case "turn":
              reader.goOn();
              await turn();
              break;
            default:
              throw each satisfies never;
          }
        }
        await reader.settle();
        expect(reader.error).toBeNull();
        expect(reader.got).toEqual(expected);
        expect(reader.socket.isReading).toBe(true);
        expect(reader.files().length).toBe(open.size);
        reader.source.close();
        expect(readdirSync(folder)).toEqual([]);
      },
    ),
    { numRuns: 80 },
  );
  expect(rowsRolledBack).toBeGreaterThan(0);
});

const start = (first = true) => encodeControl({ kind: "stream-start", xid: 7, first });
const stop = encodeControl({ kind: "stream-stop" });

describe("refused", () => {
  test.each([
    ["a piece inside another", [start(), start()]],
    ["a stop outside", [stop]],
    ["a beginning twice", [start(), stop, start()]],
    ["a piece without a beginning", [start(false)]],
    ["a commit inside a piece", [start(), encodeControl(commitOf(7, 9n))]],
    ["a commit without a beginning", [encodeControl(commitOf(7, 9n))]],
  ])("%s", (_, frames) => {
    const reader = new Reader(0);
    for (const frame of frames) reader.send(frame);
    expect(reader.error).toMatchObject({ code: "PGOUTPUT_MALFORMED" });
    reader.send(encodeMessage(insertOf("after it")));
    expect(reader.got).toEqual([]);
    reader.source.close();
  });

  test("a session whose slot was taken by another finds its files gone, and leaves the other's alone", () => {
    const reader = new Reader(0);
    reader.send(start());
    reader.send(encodeStreamed(7, insertOf("a")));
    reader.send(stop);
    const successor = new Reader(0);
    successor.send(start());
    successor.send(encodeStreamed(7, insertOf("b")));
    successor.send(stop);
    reader.send(encodeControl(commitOf(7, 9n)));
    expect(reader.error).toMatchObject({ code: "SPOOL_FAILED" });
    reader.source.close();
    successor.send(encodeControl(commitOf(7, 9n)));
    const rows = [encodeMessage(insertOf("b"))];
    expect(successor.got).toEqual(plainTransaction(7, 9n, rows).map((bytes) => bytes.toString("hex")));
    successor.source.close();
  });

  test("a folder that is a file", () => {
    writeFileSync(join(folder, "file"), "");
    expect(() => Spool.open(join(folder, "file"), "x")).toThrow(expect.objectContaining({ code: "SPOOL_FAILED" }));
    rmSync(join(folder, "file"));
  });
});
