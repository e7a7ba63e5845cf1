// What has to hold whatever was killed: asked of Postgres and of an ordinary Kafka client.
import { expect } from "vitest";
import { playTopic, type Row } from "../../../dev/demo/compare.ts";
import { parseLsn } from "../../../src/event/lsn.ts";
import type { CapturedStream, StoredEvent } from "../../support/captured-stream.ts";

/** Postgres was told no more than what is stored. Ask while no daemon runs. */
export async function expectNothingConfirmedEarly(stream: CapturedStream): Promise<void> {
  const confirmed = await stream.confirmedFlushLsn();
  const stored = await stream.progress();
  // Before the first record the slot stands where it was made, and nothing has been confirmed.
  if (stored !== null) {
    expect(confirmed).toBeLessThanOrEqual(stored.endLsn);
  }
}

/** Everything that is committed now is published once, in order; the topics played from the start are the tables. */
export async function expectWhole(stream: CapturedStream, tables: readonly string[]): Promise<void> {
  const { sequence } = await stream.published();
  const stored = await stream.stored();
  const bySequence = Map.groupBy(stored, ({ event }) => event.sequence);
  expect([...bySequence.keys()]).toEqual(Array.from({ length: sequence }, (_, at) => at + 1));
  for (const copies of bySequence.values()) {
    expect(new Set(copies.map(({ topic }) => topic)).size).toBe(1);
  }
  expectCommitOrder([...bySequence.values()].map(([first]) => first!));
  for (const table of tables) {
    const played = playTopic(stored.filter(({ topic }) => topic === `${stream.stream}.public.${table}`));
    expect(played).toMatchObject({ duplicates: [], outOfOrder: [], unresolved: [] });
    expect(sorted([...played.rows.values()])).toEqual(sorted(await rowsOf(stream, table)));
  }
}

/** Every old row is, to the byte, what the stream told of that row last, and no value is left out. */
export async function expectWholeImages(stream: CapturedStream): Promise<void> {
  const rows = new Map<string, string>();
  for (const { topic, key, event } of await stream.stored()) {
    const place = `${topic} ${key}`;
    if (event.operation === "update" || event.operation === "delete") {
      expect([event.sequence, JSON.stringify(event.before)]).toEqual([event.sequence, rows.get(place)]);
    }
    if ("unchanged" in event) {
      expect.fail(`${event.sequence} leaves values out`);
    }
    if (event.after !== null) {
      rows.set(place, JSON.stringify(event.after));
    }
  }
}

function expectCommitOrder(events: readonly StoredEvent[]): void {
  for (let next = 1; next < events.length; next++) {
    const [a, b] = [events[next - 1]!.event.transaction, events[next]!.event.transaction];
    const [before, after] = [parseLsn(a.lsn), parseLsn(b.lsn)];
    if (before > after || (before === after && a.index >= b.index)) {
      expect.fail(`${a.lsn} ${a.index} stands before ${b.lsn} ${b.index}`);
    }
  }
}

async function rowsOf(stream: CapturedStream, table: string): Promise<Row[]> {
  const { rows } = await stream.sqlAfresh(`SELECT to_jsonb(r) AS row FROM ${table} r`);
  return rows.map(({ row }) =>
    Object.fromEntries(
      Object.entries(row as object).map(([name, value]) => [name, value === null ? null : String(value)]),
    ),
  );
}

const sorted = (rows: readonly Row[]): Row[] => rows.toSorted((a, b) => Number(a.id) - Number(b.id));
