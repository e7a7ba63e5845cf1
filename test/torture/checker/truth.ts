// Invariants 2 and 5: the events are what triggers saw, one to one and in that order, and only of committed transactions.
import type { Evidence } from "../evidence.ts";
import { differenceOf, type Expected, expectedOf, nameOf, sameNames } from "./expected.ts";
import type { Findings } from "./findings.ts";
import { describe, type History, type SeenEvent, shortXid } from "./history.ts";

interface Audited {
  readonly xid8: string;
  readonly expected: Expected[];
}

export function checkTruth(history: History, evidence: Evidence, findings: Findings): void {
  const audited = auditByXid(history, evidence);
  const events = new Map<string, SeenEvent[]>();
  for (const event of history.events) {
    const own = events.get(event.xid);
    if (own === undefined) events.set(event.xid, [event]);
    else own.push(event);
  }
  checkPhantoms(events, audited, evidence, findings);
  for (const [xid, { expected }] of audited) {
    new Alignment(xid, events.get(xid) ?? [], expected, findings).align();
    findings.examined(2, expected.length);
  }
  for (const { events: run } of history.runs) {
    for (const [at, event] of run.entries()) checkKeyChange(event, run[at + 1], findings);
  }
}

/** Changes of captured tables by 32-bit xid, in the order of ordinals. */
function auditByXid({ tables }: History, { audit }: Evidence): Map<string, Audited> {
  const byXid = new Map<string, Audited>();
  for (const row of [...audit].sort((a, b) => (a.ordinal < b.ordinal ? -1 : 1))) {
    const table = tables.get(row.table);
    if (table === undefined) continue;
    const xid = shortXid(row.xid);
    let own = byXid.get(xid);
    if (own === undefined) {
      own = { xid8: row.xid, expected: [] };
      byXid.set(xid, own);
    }
    if (own.xid8 !== row.xid) throw new RangeError(`The history wraps: xid ${xid} is ${own.xid8} and ${row.xid}.`);
    own.expected.push(...expectedOf(row, table));
  }
  return byXid;
}

function checkPhantoms(
  events: ReadonlyMap<string, readonly SeenEvent[]>,
  audited: ReadonlyMap<string, Audited>,
  { statuses, commits }: Evidence,
  findings: Findings,
): void {
  const committed = new Set(commits.map(({ xid }) => xid));
  findings.examined(5, events.size);
  for (const [xid, own] of events) {
    const audit = audited.get(xid);
    if (audit === undefined) {
      for (const event of own) findings.add(5, "other", "an event's transaction is not in the audit", describe(event));
      continue;
    }
    if (!committed.has(xid)) {
      findings.add(5, "other", "an event's transaction is no commit in the WAL", describe(own[0]!));
    }
    const status = statuses.get(audit.xid8);
    if (status !== "committed") {
      findings.add(
        5,
        "other",
        "an event's transaction is not committed",
        `${describe(own[0]!)}: ${status ?? "unknown"}`,
      );
    }
  }
}

/** Both halves of a key change stand side by side and say the same of the values that were not sent. */
function checkKeyChange(event: SeenEvent, next: SeenEvent | undefined, findings: Findings): void {
  if (event.operation !== "delete") return;
  if (event.nextKey === null) {
    if (event.unchanged.length > 0) findings.add(2, "other", "a delete lists unchanged columns", describe(event));
    return;
  }
  const fits =
    next?.operation === "insert" &&
    next.table === event.table &&
    next.key === event.nextKey &&
    next.previousKey === event.key &&
    next.index === event.index + 1 &&
    next.sequence === event.sequence + 1 &&
    sameNames(next.unchanged, event.unchanged);
  if (!fits) findings.add(2, "other", "a key change's second half does not fit its first", describe(event));
}

/** Holds the events of one transaction against its audit; linear, whatever is missing or too many. */
class Alignment {
  readonly #xid: string;
  readonly #events: readonly SeenEvent[];
  readonly #expected: readonly Expected[];
  readonly #findings: Findings;
  readonly #matched: SeenEvent[] = [];
  /** Expectations that an event out of turn has met. */
  readonly #met = new Set<Expected>();
  #ahead: { events: Map<string, number>; expected: Map<string, Expected[]> } | null = null;
  #contents: Set<string> | null = null;

  constructor(xid: string, events: readonly SeenEvent[], expected: readonly Expected[], findings: Findings) {
    this.#xid = xid;
    this.#events = events;
    this.#expected = expected;
    this.#findings = findings;
  }

  align(): void {
    let [at, want] = [0, 0];
    while (at < this.#events.length || want < this.#expected.length) {
      const event = this.#events[at];
      const expected = this.#expected[want];
      if (expected !== undefined && this.#met.has(expected)) {
        want++;
      } else if (event === undefined) {
        this.#lost(expected!);
        want++;
      } else if (expected === undefined) {
        this.#extra(event);
        at++;
      } else {
        const [events, wants] = this.#step(event, expected, at, want);
        at += events;
        want += wants;
      }
    }
  }

  /** How many events and expectations are done with. */
  #step(event: SeenEvent, expected: Expected, at: number, want: number): readonly [events: number, wants: number] {
    const difference = differenceOf(event, expected);
    if (difference === null) {
      this.#matched.push(event);
      this.#passed(event, expected);
      return [1, 1];
    }
    const [nextEvent, nextExpected] = [this.#events[at + 1], this.#expected[want + 1]];
    if (nameOf(event) === nameOf(expected)) {
      const surplus = this.#events.length - at - (this.#expected.length - want);
      if (surplus < 0 && nextExpected !== undefined && differenceOf(event, nextExpected) === null) {
        this.#lost(expected);
        this.#passed(null, expected);
        return [0, 1];
      }
      if (surplus > 0 && nextEvent !== undefined && differenceOf(nextEvent, expected) === null) {
        this.#extra(event);
        this.#passed(event, null);
        return [1, 0];
      }
      this.#findings.add(2, "other", "an event differs from the audit", `${describe(event)}: ${difference}`);
      this.#passed(event, expected);
      return [1, 1];
    }
    return this.#resync(event, expected, at, want);
  }

  #resync(event: SeenEvent, expected: Expected, at: number, want: number): readonly [events: number, wants: number] {
    this.#ahead ??= this.#lookAhead(at, want);
    if ((this.#ahead.events.get(nameOf(expected)) ?? 0) === 0) {
      this.#lost(expected);
      this.#passed(null, expected);
      return [0, 1];
    }
    const later = this.#ahead.expected.get(nameOf(event))?.at(-1);
    this.#passed(event, null);
    if (later === undefined) {
      this.#extra(event);
      return [1, 0];
    }
    this.#passed(null, later);
    this.#met.add(later);
    this.#findings.add(2, "misordered", "an event stands before one that was earlier", describe(event));
    const difference = differenceOf(event, later);
    if (difference !== null) {
      this.#findings.add(2, "other", "an event differs from the audit", `${describe(event)}: ${difference}`);
    }
    return [1, 0];
  }

  /** What is still to come, by name; expectations with the next one last. */
  #lookAhead(at: number, want: number) {
    const events = new Map<string, number>();
    for (const event of this.#events.slice(at)) events.set(nameOf(event), (events.get(nameOf(event)) ?? 0) + 1);
    const expected = new Map<string, Expected[]>();
    for (const one of this.#expected.slice(want).reverse()) {
      const own = expected.get(nameOf(one));
      if (own === undefined) expected.set(nameOf(one), [one]);
      else own.push(one);
    }
    return { events, expected };
  }

  #passed(event: SeenEvent | null, expected: Expected | null): void {
    if (this.#ahead === null) return;
    if (event !== null) this.#ahead.events.set(nameOf(event), this.#ahead.events.get(nameOf(event))! - 1);
    if (expected !== null) this.#ahead.expected.get(nameOf(expected))?.pop();
  }

  #lost(expected: Expected): void {
    const what = `${nameOf(expected)}, xid ${this.#xid}, ordinal ${expected.ordinal}`;
    this.#findings.add(2, "lost", "a change has no event", what);
  }

  #extra(event: SeenEvent): void {
    this.#contents ??= new Set(this.#matched.map(contentOf));
    const isCopy = this.#contents.has(contentOf(event));
    const sort = isCopy ? "a change has a second event" : "an event has no change";
    this.#findings.add(2, isCopy ? "duplicated" : "other", sort, describe(event));
  }
}

const contentOf = (event: SeenEvent): string =>
  `${nameOf(event)} ${JSON.stringify([event.before, event.beforeKey, event.after, event.unchanged])}`;
