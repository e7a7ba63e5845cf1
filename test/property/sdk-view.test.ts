// Any history of a table, fetched in any portions, with restarts anywhere, makes the same view: the table.
import { rmSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { ChangeEvent, WireRow } from "../../src/event/change-event.ts";
import { partitionOf } from "../../src/kafka/murmur2.ts";
import { insert, openView, remove, rowsOf, temporaryFile, truncate, update } from "../unit/sdk/view-fixture.ts";

type Step =
  | { readonly do: "write"; readonly id: number; readonly value: number; readonly isBodyUnchanged: boolean }
  | { readonly do: "delete"; readonly id: number }
  | { readonly do: "move"; readonly id: number; readonly to: number; readonly isBodyUnchanged: boolean }
  | { readonly do: "truncate" };

const id = fc.integer({ min: 1, max: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("write" as const), id, value: fc.nat(99), isBodyUnchanged: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("delete" as const), id }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("move" as const), id, to: id, isBodyUnchanged: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: "truncate" as const }) },
);

/** The events of a history by partition, and the table at its end. */
function play(steps: readonly Step[], partitions: number) {
  const table = new Map<number, { name: string; body: string; stock: number }>();
  const log: ChangeEvent[][] = Array.from({ length: partitions }, () => []);
  let sequence = 0;
  const put = (key: number, event: ChangeEvent) => log[partitionOf(`{"id":"${key}"}`, partitions)]!.push(event);
  for (const current of steps) {
    if (current.do === "truncate") {
      const event = truncate(++sequence, partitions);
      for (const partition of log) {
        partition.push(event);
      }
      table.clear();
      continue;
    }
    const old = table.get(current.id);
    if (current.do === "write") {
      const row = { name: `n${current.value}`, body: `b${current.value}`, stock: current.value };
      if (old === undefined) {
        put(current.id, insert(++sequence, { id: current.id, ...row }));
      } else if (current.isBodyUnchanged) {
        row.body = old.body;
        put(current.id, update(++sequence, { id: current.id, name: row.name, stock: row.stock }, ["body"]));
      } else {
        put(current.id, update(++sequence, { id: current.id, ...row }));
      }
      table.set(current.id, row);
    } else if (old !== undefined && current.do === "delete") {
      put(current.id, remove(++sequence, { id: current.id }));
      table.delete(current.id);
    } else if (old !== undefined && current.do === "move" && !table.has(current.to)) {
      const unchanged = current.isBodyUnchanged ? { unchanged: ["body"] } : {};
      const { body: _, ...rest } = old;
      const after: WireRow = { id: current.to, ...(current.isBodyUnchanged ? rest : old) };
      put(current.id, remove(++sequence, { id: current.id }, { nextKey: { id: current.to }, ...unchanged }));
      put(current.to, insert(++sequence, after, { previousKey: { id: current.id }, ...unchanged }));
      table.delete(current.id);
      table.set(current.to, old);
    }
  }
  return { log, sequence, rows: [...table].sort(([a], [b]) => a - b).map(([key, row]) => ({ id: key, ...row })) };
}

test("portions and restarts make no difference", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.record({ partition: fc.nat(3), count: fc.integer({ min: 1, max: 9 }), restart: fc.boolean() }), {
        maxLength: 25,
      }),
      async (steps, partitions, portions) => {
        const { log, rows } = play(steps, partitions);
        const file = temporaryFile();
        let view = await openView(file, undefined, partitions);
        const fetch = (partition: number, count: number) => {
          const from = Number(view.queues[partition]!.fetchOffset);
          view.feed(partition, ...log[partition]!.slice(from, from + count));
        };
        for (const { partition, count, restart } of portions) {
          fetch(partition % partitions, count);
          await view.apply();
          if (restart) {
            view.close();
            view = await openView(file, undefined, partitions);
          }
        }
        for (let partition = 0; partition < partitions; partition++) {
          fetch(partition, Number.MAX_SAFE_INTEGER);
        }
        await view.apply();
        expect(view.queues.map(({ stored }) => Number(stored.offset))).toEqual(log.map(({ length }) => length));
        view.close();
        expect(rowsOf(file)).toEqual(rows);
        rmSync(file);
      },
    ),
    { numRuns: 60 },
  );
});
