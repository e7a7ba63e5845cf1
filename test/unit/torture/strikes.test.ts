// Faults say whether they bit, and for how long nothing could get through; what they strike is here a note of calls.
import { expect, test } from "vitest";
import { FAULTS } from "../../torture/nemesis/faults.ts";
import type { Parameters, World } from "../../torture/world.ts";

interface Surroundings {
  /** Open connections, and planned losses that nothing meets. */
  readonly open?: number;
  readonly planned?: number;
  readonly walsenders?: number;
}

/** Strikes with a network and a server that only note what is done to them; gives the notes and whether it bit. */
async function strike(name: string, parameters: Parameters, { open = 2, planned = 0, walsenders = 1 }: Surroundings) {
  const notes: string[] = [];
  const note = (what: string) => () => void notes.push(what);
  const proxy = {
    ...{ open, planned, held: 0, requests: [] },
    ...{ cut: note("cut"), halfClose: note("half-closed"), refuse: note("refused"), freeze: note("frozen") },
    ...{ stall: note("stalled"), loseReply: () => undefined, holdReply: () => undefined, heal: note("healed") },
  };
  const running = { child: { exitCode: null, signalCode: null }, kill: async () => notes.push("killed") };
  const world = {
    ...{ kafkaProxy: proxy, postgresProxy: proxy, daemon: running, view: running, stream: "s" },
    startDaemon: async () => notes.push("started"),
    sql: async () => Array.from({ length: walsenders }, () => ({})),
    sleep: async () => undefined,
    nothingGetsThrough: () => {
      notes.push("dark");
      return note("light");
    },
  } as unknown as World;
  const fault = FAULTS.find((known) => known.name === name)!;
  return { bit: (await fault.strike(world, parameters)) !== false, notes };
}

test("faults that cut Kafka off say so from then on until it is healed", async () => {
  expect((await strike("freeze-kafka", { frozenMs: 1, outcome: "vanishes" }, {})).notes).toEqual([
    ...["frozen", "dark", "light", "healed"],
  ]);
  expect((await strike("cut-kafka", { times: 1, everyMs: 1, refuseMs: 9 }, {})).notes).toEqual([
    ...["cut", "refused", "dark", "light", "healed"],
  ]);
  const away = { away: "refuse", rows: 1, messages: 1, awayMs: 1 };
  expect((await strike("kafka-away-with-other-wal", away, {})).notes).toEqual([
    ...["refused", "dark", "killed", "light", "healed", "started"],
  ]);
});

test("a cut of nothing, an end of no walsender, and a reply that never came are no bite", async () => {
  const cut = { times: 2, everyMs: 1, refuseMs: 0 };
  for (const name of ["cut-kafka", "cut-postgres", "half-close-kafka", "half-close-postgres"]) {
    expect((await strike(name, cut, { open: 0 })).bit).toBe(false);
    expect((await strike(name, cut, { open: 1 })).bit).toBe(true);
  }
  const times = { times: 2, everyMs: 1 };
  expect((await strike("terminate-walsender", times, { walsenders: 0 })).bit).toBe(false);
  expect((await strike("terminate-walsender", times, { walsenders: 1 })).bit).toBe(true);
  const held = { api: "endTxn", kill: 0, heldMs: 1 };
  expect((await strike("hold-reply", held, { planned: 1 })).bit).toBe(false);
  expect((await strike("hold-reply", held, { planned: 0 })).bit).toBe(true);
});
