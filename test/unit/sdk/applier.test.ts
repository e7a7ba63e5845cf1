// Events into a SQLite view: order, exactly once, barriers and key changes across partitions.
import { describe, expect, test } from "vitest";
import { gap, insert, mirror, openView, remove, rowsOf, temporaryFile, truncate, update } from "./view-fixture.ts";

const row = (id: number, name: string, body = "text", stock = 1) => ({ id, name, body, stock });

describe("row events", () => {
  test("insert, update and delete reach the table with their checkpoint", async () => {
    const file = temporaryFile();
    const view = await openView(file);
    view.feed(0, insert(1, row(1, "lamp")), update(3, row(1, "desk lamp")), insert(4, row(3, "chair")));
    view.feed(1, insert(2, row(2, "sofa")), remove(5, { id: 2 }));
    expect(await view.apply()).toBe(false);
    expect(rowsOf(file)).toEqual([row(1, "desk lamp"), row(3, "chair")]);
    expect(view.sequences()).toEqual([4, 5]);
    view.close();
  });

  test("a sequence at or below the checkpoint of its partition is skipped, though another partition is further", async () => {
    const file = temporaryFile();
    const seen: number[] = [];
    const view = await openView(file, (event) => seen.push(event.sequence));
    view.feed(0, insert(7, row(1, "a")));
    await view.apply();
    view.feed(0, insert(7, row(1, "again")), insert(9, row(1, "b")));
    view.feed(1, insert(5, row(2, "c")));
    await view.apply();
    expect(seen).toEqual([7, 9, 5]);
    view.close();
  });

  test("a restart goes on at the checkpoint", async () => {
    const file = temporaryFile();
    const first = await openView(file);
    first.feed(0, insert(1, row(1, "lamp")), insert(2, row(3, "chair")));
    await first.apply();
    first.close();
    const second = await openView(file);
    expect(second.queues[0]!.stored).toMatchObject({
      offset: 2n,
      sequence: 2,
      timestamp: "2026-11-22T18:00:00.123456Z",
    });
    expect(second.queues[1]!.stored).toMatchObject({ offset: 0n, sequence: 0, timestamp: null });
    second.close();
  });

  test("an unchanged column keeps its value, and a row that is not there is never made up", async () => {
    const file = temporaryFile();
    const view = await openView(file);
    view.feed(0, insert(1, row(1, "lamp", "long text")), update(2, { id: 1, name: "desk lamp", stock: 9 }, ["body"]));
    await view.apply();
    expect(rowsOf(file)).toEqual([row(1, "desk lamp", "long text", 9)]);
    view.feed(1, update(3, { id: 2, name: "sofa", stock: 9 }, ["body"]));
    await expect(view.apply()).rejects.toMatchObject({
      code: "ROW_UNKNOWN",
      message: expect.stringContaining("sequence 3"),
    });
    expect(rowsOf(file)).toHaveLength(1);
    view.close();
  });

  test("reading an unchanged column throws; what is present can be read, listed and copied", async () => {
    let seen: unknown;
    const view = await openView(temporaryFile(), {
      ...mirror,
      upsert: (after) => {
        seen = [{ ...after }, "body" in after, JSON.stringify(after)];
        return after.body;
      },
    });
    view.feed(0, update(1, { id: 1, name: "lamp" }, ["body"]));
    await expect(view.apply()).rejects.toMatchObject({ code: "COLUMN_UNCHANGED" });
    expect(seen).toEqual([{ id: 1, name: "lamp" }, false, '{"id":1,"name":"lamp"}']);
    view.close();
  });
});

describe("handlers", () => {
  test("a failure rolls everything back, names the place and never the values", async () => {
    const file = temporaryFile();
    const view = await openView(file, {
      ...mirror,
      upsert: async (after, { tx }) => {
        tx.upsert("products", after);
        await Promise.resolve();
        if (after.id === 2) {
          throw new TypeError(`no such ${after.name}`);
        }
      },
    });
    view.feed(0, insert(1, row(1, "lamp")), insert(2, row(2, "secret")));
    const failure = await view.apply().then(
      () => undefined,
      (error: Error) => error,
    );
    expect(failure).toMatchObject({ code: "HANDLER_FAILED", cause: expect.any(TypeError) });
    expect(failure!.message).toBe(
      "A handler failed with TypeError (insert of public.products, sequence 2). Nothing of this event was stored.",
    );
    expect(rowsOf(file)).toEqual([]);
    view.close();
    const again = await openView(file);
    expect(again.sequences()).toEqual([0, 0]);
    again.close();
  });

  test("tx is of no use after its transaction", async () => {
    const view = await openView(temporaryFile());
    expect(() => view.session.tx.upsert("products", row(1, "late"))).toThrow(
      expect.objectContaining({ code: "TRANSACTION_OVER" }),
    );
    view.close();
  });

  test("an event of another table or version is refused with its place", async () => {
    const view = await openView(temporaryFile());
    view.feed(0, { ...insert(1, row(1, "lamp")), v: 2 } as never);
    await expect(view.apply()).rejects.toMatchObject({
      code: "ENVELOPE_VERSION_UNKNOWN",
      message: expect.stringContaining("(topic shop.public.products, partition 0, offset 0)"),
    });
    view.close();
    const other = await openView(temporaryFile());
    other.feed(0, { ...insert(1, row(1, "lamp")), table: "public.orders" } as never);
    await expect(other.apply()).rejects.toMatchObject({ code: "TABLE_MISMATCH" });
    other.close();
  });
});

describe("barriers", () => {
  test("a truncate waits for all partitions and is applied once", async () => {
    const file = temporaryFile();
    let clears = 0;
    const view = await openView(file, {
      ...mirror,
      clear: ({ tx }) => {
        clears++;
        tx.clear("products");
      },
    });
    view.feed(0, insert(1, row(1, "lamp")), truncate(3), insert(4, row(3, "chair")));
    await view.apply();
    expect(rowsOf(file)).toEqual([row(1, "lamp")]);
    expect(view.queues[0]!.stored).toMatchObject({ sequence: 1, offset: 1n });
    view.feed(1, insert(2, row(2, "sofa")), truncate(3));
    await view.apply();
    expect(rowsOf(file)).toEqual([row(3, "chair")]);
    expect([clears, view.sequences()]).toEqual([1, [4, 3]]);
    view.close();
  });

  test("a restart while one partition waits reads that barrier again", async () => {
    const file = temporaryFile();
    const first = await openView(file);
    first.feed(0, insert(1, row(1, "lamp")), truncate(3));
    await first.apply();
    first.close();
    const second = await openView(file);
    expect(second.queues.map(({ fetchOffset }) => fetchOffset)).toEqual([1n, 0n]);
    second.feed(0, truncate(3));
    second.feed(1, insert(2, row(2, "sofa")), truncate(3));
    await second.apply();
    expect(rowsOf(file)).toEqual([]);
    second.close();
  });

  test("a gap stops a view that has no handler for it", async () => {
    const view = await openView(temporaryFile());
    view.feed(0, gap(1));
    view.feed(1, gap(1));
    await expect(view.apply()).rejects.toMatchObject({ code: "GAP_REACHED" });
    view.close();
    const seen: unknown[] = [];
    const other = await openView(temporaryFile(), { ...mirror, gap: (event) => seen.push(event.reason) });
    other.feed(0, gap(1));
    other.feed(1, gap(1));
    await other.apply();
    expect([seen, other.sequences()]).toEqual([["epoch"], [1, 1]]);
    other.close();
  });

  test("a barrier with another number of copies is an error", async () => {
    const view = await openView(temporaryFile());
    view.feed(0, truncate(1, 3));
    view.feed(1, truncate(1, 3));
    await expect(view.apply()).rejects.toMatchObject({ code: "BARRIER_INCOMPLETE" });
    view.close();
  });

  test("partitions that can never go on are an error, not a standstill", async () => {
    const view = await openView(temporaryFile());
    const out = remove(5, { id: 1 }, { nextKey: { id: 2 }, unchanged: ["body"] });
    view.feed(0, out, insert(7, row(8, "x")));
    view.feed(1, truncate(4), insert(8, row(9, "y")));
    await expect(view.apply()).rejects.toMatchObject({ code: "STREAM_INCONSISTENT" });
    view.close();
  });
});

describe("key changes with unchanged columns", () => {
  const out = (sequence: number) => remove(sequence, { id: 1 }, { nextKey: { id: 2 }, unchanged: ["body"] });
  const into = (sequence: number) =>
    insert(sequence, { id: 2, name: "moved", stock: 5 }, { previousKey: { id: 1 }, unchanged: ["body"] });

  test.each([
    ["the old key's partition comes first", [0, 1]],
    ["the new key's partition comes first", [1, 0]],
  ])("move the values from the old row when %s", async (_, order) => {
    const file = temporaryFile();
    const view = await openView(file);
    view.feed(0, insert(1, row(1, "lamp", "long text")));
    await view.apply();
    for (const partition of order) {
      view.feed(partition, partition === 0 ? out(2) : into(3));
      await view.apply();
    }
    expect(rowsOf(file)).toEqual([row(2, "moved", "long text", 5)]);
    expect(view.sequences()).toEqual([2, 3]);
    view.close();
  });

  test("within one partition, its halves fetched together or apart", async () => {
    const file = temporaryFile();
    const view = await openView(file);
    view.feed(0, insert(1, row(1, "lamp", "long text")), out(2));
    await view.apply();
    expect(view.queues[0]!.wantsMore).toBe(true);
    view.feed(0, into(3), remove(4, { id: 9 }));
    await view.apply();
    expect(rowsOf(file)).toEqual([row(2, "moved", "long text", 5)]);
    expect(view.sequences()).toEqual([4, 0]);
    view.close();
  });

  test("of a row that the view never had is ROW_UNKNOWN", async () => {
    const view = await openView(temporaryFile());
    view.feed(0, out(2));
    view.feed(1, into(3));
    await expect(view.apply()).rejects.toMatchObject({ code: "ROW_UNKNOWN" });
    view.close();
  });

  test("one function gets both halves in their order, in one transaction", async () => {
    const seen: unknown[] = [];
    const view = await openView(temporaryFile(), (event) => seen.push([event.operation, event.sequence]));
    view.feed(1, into(3));
    await view.apply();
    expect(seen).toEqual([]);
    view.feed(0, out(2));
    await view.apply();
    expect(seen).toEqual([
      ["delete", 2],
      ["insert", 3],
    ]);
    view.close();
  });
});
