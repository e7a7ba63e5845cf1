// A view between a gap and its sweep: rows to come are waited for, rows that are gone are swept, also across restarts.
import { expect, test } from "vitest";
import { type ChangeEvent, KEYLESS_SNAPSHOT } from "../../../src/event/change-event.ts";
import type { SqliteTransaction, TableHandlers } from "../../../src/sdk/index.ts";
import {
  insert,
  mirror,
  opening,
  openView,
  read,
  remove,
  rowsOf,
  sweep,
  temporaryFile,
  update,
} from "./view-fixture.ts";

const row = (id: number, name: string, body = "text", stock = 1) => ({ id, name, body, stock });
const sweeping: TableHandlers<SqliteTransaction> = { ...mirror, sweep: (_, { tx }) => tx.sweep("products") };

type View = Awaited<ReturnType<typeof openView>>;
const feedBoth = (view: View, event: ChangeEvent) => {
  view.feed(0, event);
  view.feed(1, event);
};

test("an event that leaves values of a row out that is still to be read is passed over; afterwards it is an error", async () => {
  const file = temporaryFile();
  const view = await openView(file);
  feedBoth(view, opening(1));
  view.feed(0, update(2, { id: 1, name: "lamp", stock: 9 }, ["body"]), read(3, row(1, "lamp", "long", 9)));
  view.feed(0, update(4, { id: 1, name: "desk lamp", stock: 9 }, ["body"]));
  feedBoth(view, sweep(5, 1));
  await view.apply();
  expect(rowsOf(file)).toEqual([row(1, "desk lamp", "long", 9)]);
  view.feed(0, update(6, { id: 2, name: "sofa", stock: 9 }, ["body"]));
  await expect(view.apply()).rejects.toMatchObject({ code: "ROW_UNKNOWN" });
  view.close();
});

test("a key change of a row that is still to be read makes no row", async () => {
  const file = temporaryFile();
  const view = await openView(file);
  feedBoth(view, opening(1));
  view.feed(0, remove(2, { id: 1 }, { nextKey: { id: 2 }, unchanged: ["body"] }));
  view.feed(1, insert(3, { id: 2, name: "b", stock: 1 }, { previousKey: { id: 1 }, unchanged: ["body"] }));
  await view.apply();
  expect(rowsOf(file)).toEqual([]);
  view.feed(1, read(4, row(2, "b", "body")));
  await view.apply();
  expect(rowsOf(file)).toEqual([row(2, "b", "body")]);
  view.close();
});

test("a first snapshot needs no handler: nothing can be left over", async () => {
  const view = await openView(temporaryFile());
  feedBoth(view, opening(1));
  view.feed(0, read(2, row(1, "lamp")));
  feedBoth(view, sweep(3, 1));
  await view.apply();
  expect(view.sequences()).toEqual([3, 3]);
  view.close();
});

test("a later one stops a view that can't sweep", async () => {
  const view = await openView(temporaryFile());
  view.feed(0, insert(1, row(1, "lamp")));
  feedBoth(view, opening(2));
  feedBoth(view, sweep(3, 2));
  await expect(view.apply()).rejects.toMatchObject({ code: "SWEEP_REACHED" });
  view.close();
});

test("rows that were not written since the gap are swept, whatever their columns' types; a restart in between forgets nothing", async () => {
  const file = temporaryFile();
  const first = await openView(file, sweeping);
  first.feed(0, insert(1, row(1, "kept")), insert(3, row(3, "gone")), insert(5, row(5, "changed")));
  first.feed(1, insert(2, row(2, "gone")), insert(4, row(4, "deleted")), insert(6, row(6, "moved", "body")));
  feedBoth(first, opening(7));
  first.feed(0, read(8, row(1, "kept")));
  await first.apply();
  first.close();
  const second = await openView(file, sweeping);
  second.feed(0, update(9, { id: 5, name: "changed", stock: 2 }, ["body"]));
  second.feed(1, remove(10, { id: 4 }));
  second.feed(1, remove(11, { id: 6 }, { nextKey: { id: 7 }, unchanged: ["body"] }));
  second.feed(1, insert(12, { id: 7, name: "moved", stock: 3 }, { previousKey: { id: 6 }, unchanged: ["body"] }));
  feedBoth(second, sweep(13, 7));
  second.feed(0, insert(14, row(8, "after")));
  await second.apply();
  expect(rowsOf(file)).toEqual([
    row(1, "kept"),
    row(5, "changed", "text", 2),
    row(7, "moved", "body", 3),
    row(8, "after"),
  ]);
  expect(second.session.snapshotOf("public.products")).toBeNull();
  second.close();
});

test("a sweep of another gap is not taken", async () => {
  const view = await openView(temporaryFile(), sweeping);
  feedBoth(view, opening(2));
  feedBoth(view, sweep(3, 1));
  await expect(view.apply()).rejects.toMatchObject({ code: "STREAM_INCONSISTENT" });
  view.close();
});

test("tx.sweep outside a sweep handler is refused", async () => {
  const view = await openView(temporaryFile(), { ...mirror, upsert: (_, { tx }) => tx.sweep("products") });
  view.feed(0, insert(1, row(1, "lamp")));
  await expect(view.apply()).rejects.toMatchObject({ code: "SWEEP_NOT_HERE" });
  view.close();
});

test("the gap of a table without a key empties the view, once for all partitions, and nothing is left to sweep", async () => {
  const file = temporaryFile();
  const view = await openView(file);
  view.feed(0, insert(1, row(1, "lamp")));
  feedBoth(view, { ...opening(2), reason: KEYLESS_SNAPSHOT } as ChangeEvent);
  await view.apply();
  expect(rowsOf(file)).toEqual([]);
  view.feed(0, read(3, row(2, "sofa")));
  feedBoth(view, sweep(4, 2));
  await view.apply();
  expect(rowsOf(file)).toEqual([row(2, "sofa")]);
  view.close();
});
