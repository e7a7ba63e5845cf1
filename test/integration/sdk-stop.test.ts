// stop() while a handler runs: called by that handler, and by others.
import { expect, test } from "vitest";
import { uniqueStream } from "../support/database.ts";
import { mirror, openWriter, query, row, start, TABLE, temporaryFile } from "../support/products-view.ts";

test("stop() called by a handler makes its event the last one applied, and the run ends", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream, 1);
  await writer.publish(TABLE, [{ insert: row(1, "a") }, { insert: row(2, "b") }, { insert: row(3, "c") }]);
  const calls: (() => Promise<void>)[] = [];
  const view = start(stream, file, {
    ...mirror,
    upsert: async (values, { tx, event }) => {
      if (event.sequence === 2) {
        await Promise.all(calls.map((call) => call()));
      }
      tx.upsert("products", values);
    },
  });
  calls.push(() => view.consumer.stop());
  await view.ended;
  expect(view.consumer.position().state).toBe("stopped");
  expect(query(file, "SELECT id FROM products ORDER BY id")).toEqual([{ id: 1 }, { id: 2 }]);
  await start(stream, file).reaches(3);
  expect(query(file, "SELECT count(*) AS n FROM products")).toEqual([{ n: 3 }]);
});

test("stop() called elsewhere while a handler runs waits for the commit of its event", async () => {
  const stream = uniqueStream();
  const file = temporaryFile();
  const writer = await openWriter(stream, 1);
  await writer.publish(TABLE, [{ insert: row(1, "a") }, { insert: row(2, "b") }]);
  const entered = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const view = start(stream, file, {
    ...mirror,
    upsert: async (values, { tx }) => {
      entered.resolve();
      await gate.promise;
      tx.upsert("products", values);
    },
  });
  await entered.promise;
  const stopped = view.consumer.stop().then(() => query(file, "SELECT id FROM products"));
  gate.resolve();
  expect(await stopped).toEqual([{ id: 1 }]);
});
