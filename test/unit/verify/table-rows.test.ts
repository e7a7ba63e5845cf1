// Rows of a fold, kept in a log and an index, against the same in a plain map.
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import fc from "fast-check";
import { expect, test } from "vitest";
import { digestOf } from "../../../src/verify/canonical.ts";
import { RowLog } from "../../../src/verify/row-log.ts";
import { type FoldedRow, TableRows } from "../../../src/verify/table-rows.ts";

const ALL = new Set(Array.from({ length: 0x10000 }, (_, bucket) => bucket));

const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ put: fc.nat(60), row: fc.option(fc.string({ unit: "grapheme" })) }) },
  { weight: 4, arbitrary: fc.record({ add: fc.nat(20), count: fc.constantFrom(1 as const, -1 as const) }) },
  { weight: 1, arbitrary: fc.record({ sweepBack: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.constant({ clear: true }) },
);

type Plain = { row: string | null; count: number; sequence: number };

function inTurn(steps: readonly object[], rows: TableRows, model: Map<string, Plain>, from: number): void {
  for (const [at, each] of steps.entries()) {
    const sequence = from + at;
    const place = { partition: at % 3, offset: BigInt(at) << 33n, sequence };
    if ("put" in each) {
      const { put, row } = each as { put: number; row: string | null };
      rows.put(`key ${put}`, row, 7, place);
      model.set(`key ${put}`, { row, count: 1, sequence });
    } else if ("add" in each) {
      const { add, count } = each as { add: number; count: 1 | -1 };
      rows.add(`row ${add}`, 7, count, place);
      const before = model.get(`row ${add}`)?.count ?? 0;
      model.set(`row ${add}`, { row: `row ${add}`, count: before + count, sequence });
    } else if ("sweepBack" in each) {
      const since = sequence - (each as { sweepBack: number }).sweepBack;
      rows.sweep(since);
      for (const [key, plain] of model) {
        if (plain.sequence < since) model.delete(key);
      }
    } else {
      rows.clear();
      model.clear();
    }
  }
}

const shown = ({ key, row, count, sequence }: FoldedRow) => ({ key: key.toString("hex"), row, count, sequence });
const hex = (key: string) => digestOf(key).subarray(0, 16).toString("hex");
const expected = (model: ReadonlyMap<string, Plain>) =>
  [...model].map(([key, plain]) => ({ key: hex(key), ...plain })).sort((a, b) => (a.key < b.key ? -1 : 1));

test("each key holds what it got last, counts add up, and a sweep takes what stands before it", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.array(step, { maxLength: 120 }), (one, other) => {
      const log = new RowLog();
      try {
        const tables = [one, other].map((steps) => ({
          steps,
          rows: new TableRows(log),
          model: new Map<string, Plain>(),
        }));
        let sequence = 1;
        // In turns, as the tables of a stream share its sequence.
        for (let half = 0; half < 2; half++) {
          for (const { steps, rows, model } of tables) {
            const middle = steps.length >> 1;
            inTurn(half === 0 ? steps.slice(0, middle) : steps.slice(middle), rows, model, sequence);
            sequence += steps.length;
          }
        }
        for (const { rows, model } of tables) {
          expect([...rows.inBuckets(ALL)].map(shown)).toEqual(expected(model));
          expect([...rows.all()].map(shown).sort((a, b) => (a.key < b.key ? -1 : 1))).toEqual(expected(model));
          for (const [key, { row }] of model) {
            expect(rows.get(key)?.row).toBe(row);
          }
          expect(rows.get("key that never was")).toBeUndefined();
        }
      } finally {
        log.close();
      }
    }),
  );
});

test("rows larger than the log's buffers, and more of them, come back whole; their file has no name", () => {
  const before = new Set(readdirSync(tmpdir()));
  const log = new RowLog();
  try {
    const rows = new TableRows(log);
    const texts = Array.from({ length: 5000 }, (_, at) => `${at} ${"é".repeat(at % 500 === 0 ? 700_000 : at)}`);
    for (const [at, text] of texts.entries()) {
      rows.put(`key ${at}`, text, 2 ** 31, { partition: 9999, offset: 2n ** 62n, sequence: 2 ** 52 + at });
    }
    let at = 0;
    for (const row of rows.all()) {
      expect(row.row === texts[at]).toBe(true);
      expect(row).toMatchObject({ schema: 2 ** 31, partition: 9999, offset: 2n ** 62n, sequence: 2 ** 52 + at });
      at++;
    }
    expect(at).toBe(texts.length);
    expect(readdirSync(tmpdir()).filter((name) => /^afterimage-verify-/.test(name) && !before.has(name))).toEqual([]);
  } finally {
    log.close();
  }
});

test("counts of many rows, beside keys that came before any was counted, stay while the index grows", () => {
  const log = new RowLog();
  try {
    const rows = new TableRows(log);
    const place = { partition: 0, offset: 0n, sequence: 1 };
    const expected = new Map<string, number>();
    for (let at = 0; at < 3000; at++) {
      rows.put(`key ${at}`, `key ${at}`, 1, place);
      expected.set(`key ${at}`, 1);
    }
    for (let at = 0; at < 6000; at++) {
      const row = `row ${at % 2500}`;
      const count = at % 3 === 0 ? -1 : 1;
      rows.add(row, 1, count, place);
      expected.set(row, (expected.get(row) ?? 0) + count);
    }
    for (const found of [[...rows.all()], [...rows.inBuckets(ALL)]]) {
      expect(new Map(found.map(({ row, count }) => [row, count]))).toEqual(expected);
      expect(found).toHaveLength(expected.size);
    }
  } finally {
    log.close();
  }
});

test("a folder that can't be written is named, with what to do", () => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = "/proc/no-such-folder";
  try {
    expect(() => new RowLog()).toThrow(expect.objectContaining({ code: "VERIFY_DISK" }));
  } finally {
    if (before === undefined) {
      delete process.env.TMPDIR;
    } else {
      process.env.TMPDIR = before;
    }
  }
});
