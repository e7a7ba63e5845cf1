// Invariant 10: looks at the view while it is written see lists that only grow, by what was committed, and per partition
// no later append without an earlier one. That is what the SDK promises today: order per partition, not transactions.
import type { Evidence, ViewLook } from "../evidence.ts";
import type { Findings } from "./findings.ts";
import type { History } from "./history.ts";
import type { Table } from "./table.ts";

/** The table whose rows are the lists, one row for each; an array of plain words. */
const LISTS = { table: "public.lists", column: "elements" } as const;

const elementsOf = (array: string): string[] => (array === "{}" ? [] : array.slice(1, -1).split(","));

export function checkLooks(history: History, { looks, contents, whole }: Evidence, findings: Findings): void {
  const table = history.tables.get(LISTS.table);
  if (table === undefined || !whole) return;
  const rows = (contents.get(LISTS.table) ?? []).map((row) => [row.get(table.spec.key[0]!)!, row] as const);
  const final = new Map(rows.map(([list, row]) => [list, elementsOf(row.get(LISTS.column) ?? "{}")]));
  for (const [list, elements] of final) {
    if (new Set(elements).size !== elements.length) findings.add(10, "duplicated", "a list has an element twice", list);
  }
  const states = statesOf(history, table);
  const longest = new Map<string, number>();
  for (const look of [...looks].sort((a, b) => a.at - b.at)) {
    findings.examined(10, 1);
    checkLook(look, final, longest, findings);
    checkOrder(look, table, states, findings);
  }
}

function checkLook(
  { at, lists }: ViewLook,
  final: ReadonlyMap<string, readonly string[]>,
  longest: Map<string, number>,
  findings: Findings,
): void {
  for (const [list, elements] of lists) {
    const end = final.get(list) ?? [];
    const wrong = elements.findIndex((element, place) => element !== end[place]);
    if (wrong !== -1) {
      const what = `list ${list} after ${at} ms: element ${wrong + 1} is ${elements[wrong]}, at the end it is ${end[wrong]}`;
      findings.add(10, "other", "a look sees an element that is not in that place", what);
    }
    longest.set(list, Math.max(longest.get(list) ?? 0, elements.length));
  }
  for (const [list, length] of longest) {
    const now = lists.get(list)?.length ?? 0;
    if (now < length) {
      findings.add(10, "other", "a list loses elements", `list ${list} after ${at} ms: ${now}, before ${length}`);
    }
  }
}

interface State {
  readonly length: number;
  readonly sequence: number;
}

/** How long each list was after each event, by record key. */
function statesOf({ events }: History, table: Table): Map<string, State[]> {
  const place = table.place(LISTS.column);
  const states = new Map<string, State[]>();
  for (const { table: of, key, after, sequence } of events) {
    const text = after?.[place];
    if (of !== table || typeof text !== "string") continue;
    const own = states.get(key!) ?? [];
    states.set(key!, own);
    own.push({ length: elementsOf(text).length, sequence });
  }
  return states;
}

/** In one partition, every append below the latest that is seen is seen as well. */
function checkOrder(
  { at, lists }: ViewLook,
  table: Table,
  states: ReadonlyMap<string, readonly State[]>,
  findings: Findings,
): void {
  const seen = new Map<number, { latest: State; list: string }>();
  const unseen = new Map<number, { earliest: State; list: string }>();
  for (const [key, own] of states) {
    const list = listOf(key);
    const length = lists.get(list)?.length ?? 0;
    const partition = table.partitionOf(key);
    const next = firstLonger(own, length);
    const state = own[next - 1];
    if (state !== undefined && state.sequence > (seen.get(partition)?.latest.sequence ?? 0))
      seen.set(partition, { latest: state, list });
    const missing = own[next];
    if (
      missing !== undefined &&
      missing.sequence < (unseen.get(partition)?.earliest.sequence ?? Number.POSITIVE_INFINITY)
    ) {
      unseen.set(partition, { earliest: missing, list });
    }
    if (length > 0 && state?.length !== length) {
      findings.add(
        10,
        "other",
        "a look sees a state that no event left",
        `list ${list} after ${at} ms: ${length} elements`,
      );
    }
  }
  for (const [partition, { latest, list }] of seen) {
    const missed = unseen.get(partition);
    if (missed === undefined || missed.earliest.sequence > latest.sequence) continue;
    const what = `after ${at} ms partition ${partition}: list ${list} at sequence ${latest.sequence}, list ${missed.list} without ${missed.earliest.sequence}`;
    findings.add(10, "misordered", "a look sees a later append without an earlier one", what);
  }
}

/** Lists only grow, so their states are in order. */
function firstLonger(states: readonly State[], length: number): number {
  let [low, high] = [0, states.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (states[middle]!.length > length) high = middle;
    else low = middle + 1;
  }
  return low;
}

const listOf = (key: string): string => Object.values(JSON.parse(key) as Record<string, string>)[0]!;
