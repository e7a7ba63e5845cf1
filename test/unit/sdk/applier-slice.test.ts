// Where a slice of applied events ends: when its time is up, or when the consumer stops.
import { expect, test } from "vitest";
import { Applier } from "../../../src/sdk/consumer/applier.ts";
import { insert, mirror, openView, rowsOf, temporaryFile, truncate } from "./view-fixture.ts";

const row = (id: number, name: string) => ({ id, name, body: "text", stock: 1 });

test("once the consumer stops no further event is begun, and what is applied is committed", async () => {
  const file = temporaryFile();
  const stopping = new AbortController();
  const seen: number[] = [];
  const view = await openView(
    file,
    async (event) => {
      seen.push(event.sequence);
      if (event.sequence === 3) {
        stopping.abort();
      }
    },
    2,
    stopping.signal,
  );
  view.feed(0, insert(1, row(1, "a")), insert(3, row(3, "b")), insert(4, row(4, "c")), truncate(6));
  view.feed(1, insert(2, row(2, "d")), truncate(6));
  expect(await view.apply()).toBe(true);
  expect(seen).toEqual([1, 3]);
  expect(view.sequences()).toEqual([3, 0]);
  view.close();
});

test("a slice of time ends between events, and the next goes on", async () => {
  const file = temporaryFile();
  const view = await openView(file);
  view.feed(0, ...Array.from({ length: 100 }, (_, at) => insert(at + 1, row(at + 1, "x"))));
  const impatient = new Applier(view.session, 0, new AbortController().signal);
  let slices = 1;
  while (await impatient.applySlice([{ table: "public.products", registration: mirror, queues: view.queues }])) {
    slices++;
  }
  expect(slices).toBeGreaterThan(3);
  expect(rowsOf(file)).toHaveLength(100);
  view.close();
});
