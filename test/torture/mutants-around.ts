// Mutants of what was observed beside the topics: transaction status, looks at the view, health, exits and times.
import type { Evidence, ProcessExit, ViewLook } from "./evidence.ts";
import { sourceOf } from "./forge.ts";
import type { Mutant } from "./mutants.ts";
import { middle, middleIndex, replaced } from "./mutants-tools.ts";

const LISTS = "public.lists";

/** As asked. */
const ENDED: ProcessExit = {
  ...{ process: "daemon", code: 0, signal: null, errorCode: null },
  ...{ sent: ["SIGTERM"], during: "stop-daemon", allowed: [] },
};

const withExit = (exit: Partial<ProcessExit>) => (evidence: Evidence) => ({
  ...evidence,
  exits: [...evidence.exits, { ...ENDED, ...exit }],
});

const withHealth = (state: string, healthy: boolean) => (evidence: Evidence) => ({
  ...evidence,
  health: [...evidence.health, { at: 1, state, healthy }],
});

const withRound = (caughtUpAt: number | null) => (evidence: Evidence) => ({
  ...evidence,
  rounds: [...evidence.rounds, { round: 99, fault: "kill", healedAt: 1_000, caughtUpAt, boundMs: 30_000, bit: true }],
});

/** The look in the middle, with one list changed. */
function changeList(
  evidence: Evidence,
  least: number,
  change: (elements: readonly string[]) => readonly string[],
): Evidence {
  const hasLong = ({ lists }: ViewLook) => [...lists.values()].some((elements) => elements.length >= least);
  const at = middleIndex(evidence.looks, hasLong, `look at a list of ${least} elements`);
  const look = evidence.looks[at]!;
  const [list, elements] = [...look.lists].find(([, own]) => own.length >= least)!;
  const lists = new Map([...look.lists, [list, change(elements)]]);
  return { ...evidence, looks: replaced(evidence.looks, at, { ...look, lists }) };
}

/** The xid8 of an audited transaction that has events. */
function auditedXid({ audit, records }: Evidence): string {
  const published = new Set(records.map(({ value }) => sourceOf(value!).xid));
  const isPublished = ({ xid }: (typeof audit)[number]) => published.has(String(BigInt(xid) & 0xffff_ffffn));
  return middle(audit, isPublished, "published transaction").xid;
}

export const AROUND_MUTANTS: readonly Mutant[] = [
  {
    name: "an aborted transaction has events",
    finds: [[5, "other", "an event's transaction is not committed"]],
    mutate: (evidence) => ({
      ...evidence,
      statuses: new Map([...evidence.statuses, [auditedXid(evidence), "aborted"]]),
    }),
  },
  {
    name: "a transaction that is nowhere in the WAL has events",
    finds: [[5, "other", "an event's transaction is no commit in the WAL"]],
    mutate(evidence) {
      const xid = String(BigInt(auditedXid(evidence)) & 0xffff_ffffn);
      return { ...evidence, commits: evidence.commits.filter((commit) => commit.xid !== xid) };
    },
  },
  {
    name: "a look at the view sees another sum",
    finds: [[6, "other", "a look at the view sees another sum"]],
    mutate(evidence) {
      const at = evidence.looks.length >> 1;
      const look = { ...evidence.looks[at]!, sum: evidence.constantSum.value - 1n };
      return { ...evidence, looks: replaced(evidence.looks, at, look) };
    },
  },
  {
    name: "a list loses an element in its middle",
    finds: [[10, "other", "a look sees an element that is not in that place"]],
    mutate: (evidence) => changeList(evidence, 3, (elements) => elements.toSpliced(1, 1)),
  },
  {
    name: "a look sees an element that was never committed",
    finds: [[10, "other", "a look sees an element that is not in that place"]],
    mutate: (evidence) => changeList(evidence, 1, (elements) => [...elements, "rolled-back"]),
  },
  {
    name: "a list is shorter than it was",
    finds: [[10, "other", "a list loses elements"]],
    mutate: (evidence) => ({
      ...evidence,
      looks: [...evidence.looks, { at: 1e9, sum: null, lists: new Map() }],
    }),
  },
  {
    name: "a look sees a later append without an earlier one",
    finds: [[10, "misordered", "a look sees a later append without an earlier one"]],
    mutate(evidence) {
      // Each list by itself as it is in the end, all others empty: one of them is not the first of its partition.
      const rows = evidence.contents.get(LISTS) ?? [];
      const lists = rows.map((row) => [row.get("id")!, row.get("elements")!.slice(1, -1).split(",")] as const);
      const looks = lists.map(([list, elements]) => ({ at: -1, sum: null, lists: new Map([[list, elements]]) }));
      return { ...evidence, looks: [...looks, ...evidence.looks] };
    },
  },
  {
    name: "a list has an element twice",
    finds: [[10, "duplicated", "a list has an element twice"]],
    mutate(evidence) {
      const rows = evidence.contents.get(LISTS) ?? [];
      const at = middleIndex(rows, (row) => row.get("elements") !== "{}", "list with an element");
      const elements = rows[at]!.get("elements")!.replace(/\{([^,}]+)/, "{$1,$1");
      const doubled = replaced(rows, at, new Map([...rows[at]!, ["elements", elements]]));
      return { ...evidence, contents: new Map([...evidence.contents, [LISTS, doubled]]) };
    },
  },
  {
    name: "healthy while halted",
    finds: [[11, "other", "a daemon calls itself healthy and is not"]],
    mutate: withHealth("halted", true),
  },
  {
    name: "healthy while backing off",
    finds: [[11, "other", "a daemon calls itself healthy and is not"]],
    mutate: withHealth("backing-off", true),
  },
  {
    name: "unhealthy while streaming",
    finds: [[11, "other", "a daemon calls itself unhealthy and is not"]],
    mutate: withHealth("streaming", false),
  },
  {
    name: "an exit without code and signal",
    finds: [[11, "other", "a process ended nobody knows how"]],
    mutate: withExit({ code: null }),
  },
  {
    name: "a halt without an error",
    finds: [[11, "other", "a process failed without naming an error"]],
    mutate: withExit({ code: 4 }),
  },
  {
    name: "an exit by something unforeseen",
    finds: [[11, "other", "a process ended by something unforeseen"]],
    mutate: withExit({ code: 1, errorCode: "INTERNAL" }),
  },
  {
    name: "an exit with a code that is not documented",
    finds: [[11, "other", "a process ended with an unknown code"]],
    mutate: withExit({ code: 134, errorCode: "INTERNAL" }),
  },
  {
    name: "a crash",
    finds: [[11, "other", "a process was ended by a signal that nobody sent"]],
    mutate: withExit({ code: null, signal: "SIGSEGV" }),
  },
  {
    name: "a process is killed, and not by the nemesis",
    finds: [[11, "other", "a process was ended by a signal that nobody sent"]],
    mutate: withExit({ code: null, signal: "SIGKILL" }),
  },
  {
    name: "a daemon halts with a code and is started again by the fault",
    finds: [[11, "other", "a process failed where it had to go on"]],
    mutate: withExit({ code: 4, errorCode: "POSITION_NOT_FOUND", sent: [], during: "kill-daemon" }),
  },
  {
    name: "a view fails with another code than the fault allows",
    finds: [[11, "other", "a process failed where it had to go on"]],
    mutate: withExit({ process: "view", code: 1, errorCode: "ROW_UNKNOWN", sent: [], allowed: ["STORE_IS_LOCKED"] }),
  },
  {
    name: "a process names an error that no page lists",
    finds: [[11, "other", "a process names an error that is not documented"]],
    mutate: withExit({ code: 4, errorCode: "SOMETHING", allowed: ["SOMETHING"] }),
  },
  {
    name: "a process ends by itself as if all were done",
    finds: [[11, "other", "a process ended that nobody had asked to"]],
    mutate: withExit({ sent: ["SIGSTOP", "SIGCONT"] }),
  },
  {
    name: "a daemon in a state that nobody knows",
    finds: [[11, "other", "a daemon is in an unknown state"]],
    mutate: withHealth("dreaming", false),
  },
  {
    name: "a daemon says that it streams while nothing gets through",
    finds: [[11, "other", "a daemon says that it streams and can't"]],
    mutate: (evidence) => ({
      ...evidence,
      dark: [...evidence.dark, { from: 100_000, to: 120_000 }],
      health: [...evidence.health, { at: 105_100, state: "streaming", healthy: true }],
    }),
  },
  {
    name: "hardly a position was seen",
    finds: [[7, "other", "too few positions were seen"]],
    mutate: (evidence) => ({ ...evidence, positions: evidence.positions.slice(0, 2) }),
  },
  {
    name: "the daemon was hardly asked how it is",
    finds: [[11, "other", "too few health were seen"]],
    mutate: (evidence) => ({ ...evidence, health: evidence.health.slice(0, 2) }),
  },
  {
    name: "the view was hardly looked at",
    finds: [[10, "other", "too few looks were seen"]],
    mutate: (evidence) => ({ ...evidence, looks: evidence.looks.slice(0, 2) }),
  },
  {
    name: "a long history was looked at for its first seconds only",
    finds: [
      [7, "other", "too few positions were seen"],
      [11, "other", "too few health were seen"],
      [10, "other", "too few looks were seen"],
    ],
    mutate: (evidence) => {
      const most = Math.max(evidence.positions.length, evidence.health.length, evidence.looks.length);
      return { ...evidence, watch: { ...evidence.watch, ms: 5_000 * (most + 1) } };
    },
  },
  {
    name: "it catches up before the fault is over",
    finds: [[12, "other", "it caught up before the fault was over"]],
    mutate: withRound(999),
  },
  { name: "it never catches up", finds: [[12, "other", "it never caught up"]], mutate: withRound(null) },
  { name: "it catches up too late", finds: [[12, "other", "it took too long to catch up"]], mutate: withRound(32_000) },
];
