// Invariants 1 and 4: the events, applied in the order of their sequence, give the table and the view; and each one
// continues the row that the one before it left.
import type { Contents, Evidence, TextRow } from "../evidence.ts";
import { brief, type Findings } from "./findings.ts";
import { describe, type History, type SeenEvent } from "./history.ts";
import type { Row, Table } from "./table.ts";

export function checkFold(history: History, evidence: Evidence, findings: Findings): void {
  const folded = new Map([...history.tables].map(([name, table]) => [name, new FoldedTable(table, findings)]));
  for (const event of history.events) folded.get(event.table.name)!.apply(event);
  for (const [name, own] of folded) {
    if (!evidence.whole) continue;
    const rows = evidence.contents.get(name);
    if (rows === undefined) findings.add(1, "other", "a table was not read", name);
    else own.compare("table", rows);
  }
  if (evidence.whole) compareView(folded, evidence.view, findings);
}

function compareView(folded: ReadonlyMap<string, FoldedTable>, view: Contents | null, findings: Findings): void {
  if (view === null) return;
  if (view.size === 0) findings.add(1, "other", "the view holds no table", "");
  for (const name of folded.keys()) if (!view.has(name)) findings.add(1, "other", "the view lacks a table", name);
  for (const [name, rows] of view) {
    const own = folded.get(name);
    if (own === undefined) findings.add(1, "other", "the view holds a table that is not captured", name);
    else own.compare("view", rows);
  }
}

class FoldedTable {
  readonly #table: Table;
  readonly #findings: Findings;
  /** By record key. */
  readonly #rows = new Map<string, Row>();
  /** Of a keyless table, by their text: rows that are alike can't be told apart. */
  readonly #counts = new Map<string, { readonly row: Row; count: number }>();
  /** What a key change took away and its second half continues. */
  #moving: { readonly row: Row; readonly sequence: number } | null = null;

  constructor(table: Table, findings: Findings) {
    this.#table = table;
    this.#findings = findings;
  }

  apply(event: SeenEvent): void {
    this.#findings.examined(4, 1);
    if (event.operation === "truncate") {
      this.#rows.clear();
      this.#counts.clear();
    } else if (!this.#table.hasKey) {
      this.#applyKeyless(event);
    } else {
      this.#applyKeyed(event, event.key ?? "");
    }
  }

  #applyKeyed(event: SeenEvent, key: string): void {
    const current = this.#rows.get(key);
    if (event.operation === "insert") {
      if (current !== undefined) this.#broken("an insert finds its row there", event);
      const moved =
        event.previousKey !== null && this.#moving?.sequence === event.sequence - 1 ? this.#moving.row : null;
      this.#rows.set(key, this.#complete(event, moved));
      return;
    }
    if (current === undefined) this.#broken("an event finds no row to change", event);
    else if (event.before !== null) this.#checkBefore(event, event.before, current);
    if (event.operation === "update") {
      this.#rows.set(key, this.#complete(event, current ?? null));
    } else {
      this.#rows.delete(key);
      this.#moving =
        event.nextKey === null || current === undefined ? null : { row: current, sequence: event.sequence };
    }
  }

  #checkBefore(event: SeenEvent, before: Row, current: Row): void {
    const wrong = current.findIndex((text, place) => text !== before[place]);
    if (wrong === -1) return;
    const what = `${this.#table.columns[wrong]} was ${brief(current[wrong])}, before says ${brief(before[wrong])}`;
    this.#broken("a before image is not the row that was there", event, what);
  }

  #applyKeyless(event: SeenEvent): void {
    if (event.operation !== "insert" && event.before !== null) {
      const text = JSON.stringify(event.before);
      const entry = this.#counts.get(text);
      if (entry === undefined) this.#broken("an event finds no row to change", event);
      else if (--entry.count === 0) this.#counts.delete(text);
    }
    if (event.after !== null) {
      const text = JSON.stringify(event.after);
      const entry = this.#counts.get(text);
      if (entry === undefined) this.#counts.set(text, { row: event.after, count: 1 });
      else entry.count++;
    }
  }

  /** The row after the event: columns that were not sent keep what they held. */
  #complete(event: SeenEvent, current: Row | null): Row {
    const after = event.after ?? [];
    if (event.unchanged.length === 0) return after;
    if (current === null) {
      this.#broken("unchanged columns have no row that holds them", event);
      return after;
    }
    const unchanged = new Set(event.unchanged.map((name) => this.#table.columns.indexOf(name)));
    return after.map((text, place) => (text === undefined && unchanged.has(place) ? current[place] : text));
  }

  #broken(sort: string, event: SeenEvent, more?: string): void {
    this.#findings.add(4, "other", sort, more === undefined ? describe(event) : `${describe(event)}: ${more}`);
  }

  compare(whose: "table" | "view", rows: readonly TextRow[]): void {
    this.#findings.examined(1, rows.length);
    // Without key and old rows nobody can say which row an event concerns.
    if (!this.#table.hasKey && !this.#table.isFull && this.#table.spec.identity !== "nothing") return;
    if (this.#table.hasKey) this.#compareKeyed(whose, rows);
    else this.#compareKeyless(whose, rows);
  }

  #compareKeyed(whose: string, rows: readonly TextRow[]): void {
    const left = new Map(this.#rows);
    for (const textRow of rows) {
      const row = this.#table.textRow(textRow);
      const key = this.#table.keyOf(row)!;
      const folded = left.get(key);
      left.delete(key);
      const where = `${this.#table.name} ${key}`;
      if (folded === undefined) {
        const sort = this.#rows.has(key) ? "has a row twice" : "has a row that the topic does not give";
        this.#findings.add(1, "other", `the ${whose} ${sort}`, where);
        continue;
      }
      // A column that came later is null in rows that no event has touched since; one that went is of no more interest.
      const wrong = this.#table.spec.columns.findIndex(
        (_, place) => (this.#table.evolves ? (folded[place] ?? null) : folded[place]) !== row[place],
      );
      if (wrong === -1) continue;
      const what = `${where}, ${this.#table.columns[wrong]}: the topic gives ${brief(folded[wrong])}, the ${whose} has ${brief(row[wrong])}`;
      this.#findings.add(1, "other", `the ${whose} has another value than the topic`, what);
    }
    for (const key of left.keys()) {
      this.#findings.add(1, "other", `the ${whose} lacks a row that the topic gives`, `${this.#table.name} ${key}`);
    }
  }

  #compareKeyless(whose: string, rows: readonly TextRow[]): void {
    const left = new Map([...this.#counts].map(([text, { count }]) => [text, count]));
    for (const textRow of rows) {
      const text = JSON.stringify(this.#table.textRow(textRow));
      const count = left.get(text) ?? 0;
      if (count > 0) left.set(text, count - 1);
      else
        this.#findings.add(
          1,
          "other",
          `the ${whose} has a row that the topic does not give`,
          `${this.#table.name} ${brief(text)}`,
        );
    }
    for (const [text, count] of left) {
      const what = `${this.#table.name} ${brief(text)}, ${count} times`;
      if (count > 0) this.#findings.add(1, "other", `the ${whose} lacks a row that the topic gives`, what);
    }
  }
}
