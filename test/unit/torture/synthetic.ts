// A faultless history, made up, with everything in it that mutants break.
import type { Contents, Evidence, HealthSample, PositionSample, TableSpec, ViewLook } from "../../torture/evidence.ts";
import { type Random, seeded } from "../../torture/random.ts";
import { type Changes, PARTITIONS, STREAM, Story } from "./story.ts";

const spec = (
  table: string,
  columns: readonly string[],
  options: { key?: readonly string[]; identity?: TableSpec["identity"]; types?: Record<string, string> } = {},
): TableSpec => ({
  table,
  topic: `${STREAM}.${table.replaceAll('"', "-22").replaceAll(" ", "-20")}`,
  partitions: PARTITIONS,
  columns,
  types: new Map(Object.entries(options.types ?? { id: "int4" })),
  key: options.key ?? ["id"],
  identity: options.identity ?? "default",
});

const TABLES: readonly TableSpec[] = [
  spec("public.accounts", ["id", "balance"], { identity: "full" }),
  spec("public.lists", ["id", "elements"], { identity: "full" }),
  spec("public.notes", ["id", "revision", "body"], { types: { id: "int4", revision: "int4" } }),
  spec("public.keyed", ["code", "tenant", "value", "body"], { key: ["tenant", "code"], types: {} }),
  spec("public.heap", ["a", "b"], { key: [], identity: "full", types: { a: "int4" } }),
  spec('public."Odd t"', ["__proto__", "z", "1"], { key: ["__proto__"], types: JSON.parse('{"__proto__":"int4"}') }),
  spec("public.typed", ["id", "flag", "weight"], {
    identity: "full",
    types: { id: "int4", flag: "bool", weight: "float8" },
  }),
  spec("public.wiped_a", ["id", "value"]),
  spec("public.wiped_b", ["id", "value"], { identity: "full" }),
];

const MISSES = { count: 0, last: null };
const ACCOUNTS = 12;
const BODY = "long ".repeat(800);
const WEIGHTS = ["-0", "1e-07", "0.1", "NaN", "Infinity", "1e+23"];
/** Texts that mutants could be misled by. */
const WORDS = [
  "'NULL'",
  "777",
  "-5",
  "",
  "null",
  "true",
  '"after":{"a":1',
  '},"timestamp":"',
  ',"schema":1',
  "{x,y}",
  "7",
];

const odd = (id: string, z: string, one: string | null) =>
  JSON.parse(JSON.stringify({ z, 1: one }).replace("{", `{"__proto__":"${id}",`));

function transfer(story: Story, from: number, to: number): (changes: Changes) => void {
  return (changes) => {
    for (const [id, amount] of [
      [from, -5n],
      [to, 5n],
    ] as const) {
      const { balance } = story.rows.get("public.accounts")!.find((row) => row.id === String(id))!;
      changes.update("public.accounts", { id: String(id) }, { balance: String(BigInt(balance!) + amount) });
    }
  };
}

function append(story: Story, changes: Changes, id: string, element: string): void {
  const list = story.rows.get("public.lists")!.find((row) => row.id === id);
  if (list === undefined) changes.insert("public.lists", { id, elements: `{${element}}` });
  else changes.update("public.lists", { id }, { elements: list.elements!.replace("}", `,${element}}`) });
}

function fill(story: Story): void {
  story.transaction((changes) => {
    for (let id = 1; id <= ACCOUNTS; id++) changes.insert("public.accounts", { id: String(id), balance: "1000" });
    for (let id = 1; id <= 3; id++) changes.insert("public.notes", { id: String(id), revision: "1", body: BODY });
  });
}

/** One of everything, in any order, with any values; `round` keeps rows apart. */
function play(story: Story, round: number, random: Random): void {
  const id = String(round);
  const word = () => (random.chance(0.5) ? random.pick(WORDS) : random.text(random.int(0, 12)));
  const from = random.int(1, ACCOUNTS);
  const transactions: ((changes: Changes) => void)[] = [
    transfer(story, from, 1 + ((from + random.int(0, ACCOUNTS - 2)) % ACCOUNTS)),
    (changes) => {
      for (let list = 1; list <= 6; list++) append(story, changes, String(list), `${round}-${list}`);
    },
    (changes) => {
      changes.update("public.notes", { id: String(random.int(1, 3)) }, { revision: String(round + 2) }, ["body"]);
      changes.insert("public.keyed", { tenant: "t", code: `c${id}`, value: word(), body: BODY });
      changes.update("public.keyed", { code: `c${id}` }, { code: `d${id}`, value: null }, ["body"]);
    },
    (changes) => {
      changes.insert("public.heap", { a: "1", b: "alike" });
      changes.insert("public.heap", { a: "1", b: "alike" });
      changes.update("public.heap", { b: "alike" }, { b: `${word()} ${id} "\\` });
    },
    (changes) => {
      changes.insert("public.typed", { id, flag: random.pick(["t", "f"]), weight: random.pick(WEIGHTS) });
      changes.insert('public."Odd t"', odd(id, "é😀\n", null));
      changes.update('public."Odd t"', JSON.parse(`{"__proto__":"${id}"}`), { 1: `${word()},"sequence":1` });
      changes.update("public.typed", { id }, { flag: null });
      changes.insert("public.heap", { a: "2", b: "fleeting" });
      changes.delete("public.heap", { b: "fleeting" });
      changes.update("public.typed", { id }, { weight: "2" });
      changes.delete("public.typed", { id });
      changes.insert("public.typed", { id, flag: "f", weight: "2.5" });
    },
    (changes) => {
      changes.insert("public.wiped_a", { id, value: word() });
      changes.insert("public.wiped_b", { id, value: word() });
      if (round % 4 === 3) changes.truncate("public.wiped_a", "public.wiped_b");
    },
  ];
  for (const transaction of random.shuffle(transactions)) story.transaction(transaction);
  if (round % 5 === 4) story.transaction((changes) => changes.delete("public.keyed", { code: `d${id}` }));
  if (random.chance(0.3))
    story.transaction((changes) =>
      changes.insert("public.notes", { id: String(100 + round), revision: "1", body: word() }),
    );
}

/** A transaction that is larger than a batch. */
function bulk(story: Story, round: number): void {
  const piece = (part: number) => (changes: Changes) => {
    if (part === 1) {
      // A start inside the transaction that has new schema records to store.
      story.producer = { ...story.producer, epoch: story.producer.epoch + 1 };
      story.publish();
    }
    for (let row = 0; row < 20; row++)
      changes.insert("public.wiped_a", { id: String(1000 + round * 100 + part * 20 + row), value: "bulk" });
  };
  story.transaction(piece(0), piece(1), piece(2));
}

const contentsOf = (story: Story): Contents =>
  new Map(
    story.tables.map(({ table, columns }) => [
      table,
      story.rows.get(table)!.map((row) => new Map(columns.map((name) => [name, row[name] ?? null]))),
    ]),
  );

/** `seed`: of the order of its transactions, its values and its times. */
export function syntheticEvidence({ rounds = 24, seed = 0 }: { rounds?: number; seed?: number } = {}): Evidence {
  const random = seeded(`synthetic ${seed}`);
  const story = new Story(TABLES, random);
  const positions: PositionSample[] = [];
  const looks: ViewLook[] = [];
  fill(story);
  for (let round = 0; round < rounds; round++) {
    if (round === rounds >> 2) story.producer = { id: "4001", epoch: 1 };
    if (round === rounds - random.int(1, 4)) story.producer = { id: "3000", epoch: 0 };
    const confirmed = story.endLsn;
    play(story, round, random);
    if (round % 6 === 5) {
      story.publish();
      bulk(story, round);
    }
    story.publish();
    if (round % 3 === 0) story.idle();
    positions.push({ at: round * 100, confirmed, stored: { endLsn: story.endLsn, sequence: story.sequence } });
    const lists = story.rows
      .get("public.lists")!
      .map(({ id, elements }) => [id!, elements!.slice(1, -1).split(",")] as const);
    looks.push({ at: round * 100, sum: round % 2 === 0 ? 12_000n : null, lists: new Map(lists) });
  }
  const states = ["starting", "preflight", "streaming", "backing-off", "standby", "draining", "halted"];
  const health: HealthSample[] = states.map((state, at) => ({
    at,
    state,
    healthy: state === "streaming" || state === "standby",
  }));
  const contents = contentsOf(story);
  return {
    ...{
      whole: true,
      stream: STREAM,
      tables: TABLES,
      records: story.records,
      progress: story.progress,
      schemas: story.schemas,
    },
    followed: [...story.records.slice(0, 50), ...story.records, ...story.progress],
    ...{
      audit: story.audit,
      commits: story.commits,
      statuses: story.statuses,
      contents,
      view: contents,
      catalog: story.catalog,
    },
    verified: { exitCode: 0, result: "proven", findings: [] },
    ...{ looks, positions, health },
    constantSum: { table: "public.accounts", column: "balance", value: 12_000n },
    rounds: [{ round: 1, fault: "kill", healedAt: 500, caughtUpAt: 900, boundMs: 30_000, bit: true }],
    dark: [{ from: 0, to: 1 }],
    watch: { ms: rounds * 100, misses: { positions: MISSES, health: MISSES, looks: MISSES } },
    exits: [
      {
        process: "daemon",
        code: null,
        signal: "SIGKILL",
        errorCode: null,
        sent: ["SIGKILL"],
        during: "kill",
        allowed: [],
      },
      {
        process: "daemon",
        code: 4,
        signal: null,
        errorCode: "SLOT_LOST",
        sent: [],
        during: "x",
        allowed: ["SLOT_LOST"],
      },
      { process: "view", code: 0, signal: null, errorCode: null, sent: ["SIGTERM"], during: null, allowed: [] },
    ],
  };
}
