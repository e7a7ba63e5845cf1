// Reads the index: its own read-only connection, so that searching never waits for the consumer's writes.
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { toFtsQueries } from "./search-terms.ts";

/** Text in pieces; the second of a pair tells whether the piece matches the query. */
export type MarkedText = readonly (readonly [text: string, isMatch: boolean])[];

export interface Hit {
  /** An int8: text, since it may not fit a number. */
  readonly id: string;
  readonly name: MarkedText;
  readonly brand: MarkedText;
  readonly category: MarkedText;
  readonly snippet: MarkedText;
  readonly price: string | null;
  readonly stock: number | null;
  readonly updatedAt: string | null;
}

export interface SearchResult {
  readonly total: number;
  readonly hits: readonly Hit[];
}

// Control characters that mark matches between SQLite and here.
const [START, END] = ["\u0002", "\u0003"];
const MARKS = `char(2), char(3)`;
const SNIPPET_WORDS = 32;
const SNIPPET_CHARACTERS = 220;

const SEARCH = `
  SELECT CAST(p.id AS TEXT) AS id, p.price, p.stock, p.updated_at,
    highlight(products_text, 0, ${MARKS}) AS name,
    highlight(products_text, 1, ${MARKS}) AS brand,
    highlight(products_text, 2, ${MARKS}) AS category,
    snippet(products_text, 3, ${MARKS}, '…', ${SNIPPET_WORDS}) AS snippet
  FROM products_text JOIN products AS p ON p.id = products_text.rowid
  WHERE products_text MATCH ? ORDER BY products_text.rank LIMIT ?`;

const LATEST = `
  SELECT CAST(id AS TEXT) AS id, price, stock, updated_at, name, brand, category,
    CASE WHEN length(description) > ${SNIPPET_CHARACTERS} THEN substr(description, 1, ${SNIPPET_CHARACTERS}) || '…'
      ELSE description END AS snippet
  FROM products ORDER BY updated_at DESC, id DESC LIMIT ?`;

export class ProductSearch {
  readonly #database: DatabaseSync;
  readonly #search: StatementSync;
  readonly #countFound: StatementSync;
  readonly #latest: StatementSync;
  readonly #count: StatementSync;

  /** The file has to be set up. */
  constructor(file: string) {
    this.#database = new DatabaseSync(file, { readOnly: true, timeout: 2000 });
    this.#search = this.#database.prepare(SEARCH);
    this.#countFound = this.#database.prepare("SELECT count(*) AS n FROM products_text WHERE products_text MATCH ?");
    this.#latest = this.#database.prepare(LATEST);
    this.#count = this.#database.prepare("SELECT count(*) AS n FROM products");
    this.find("a", 1); // reads the schema and the index's root, or the first visitor would wait for it
  }

  /** The best matches first; without a word in `typed`, the products changed last. */
  find(typed: string, limit: number): SearchResult {
    const queries = toFtsQueries(typed);
    return this.#inOneSnapshot(() => {
      if (queries.length === 0) {
        return { total: this.count(), hits: this.#latest.all(limit).map(toHit) };
      }
      for (const query of queries) {
        const total = this.#number(this.#countFound, query);
        if (total > 0) {
          return { total, hits: this.#search.all(query, limit).map(toHit) };
        }
      }
      return { total: 0, hits: [] };
    });
  }

  count(): number {
    return this.#number(this.#count);
  }

  close(): void {
    this.#database.close();
  }

  /** So that the total and the hits are of the same moment. */
  #inOneSnapshot<T>(read: () => T): T {
    this.#database.exec("BEGIN");
    try {
      return read();
    } finally {
      this.#database.exec("COMMIT");
    }
  }

  #number(statement: StatementSync, ...parameters: string[]): number {
    return Number(statement.get(...parameters)!.n);
  }
}

function toHit(row: Record<string, unknown>): Hit {
  return {
    id: row.id as string,
    name: toMarked(row.name),
    brand: toMarked(row.brand),
    category: toMarked(row.category),
    snippet: toMarked(row.snippet),
    price: row.price as string | null,
    stock: row.stock as number | null,
    updatedAt: row.updated_at as string | null,
  };
}

function toMarked(text: unknown): MarkedText {
  if (typeof text !== "string") {
    return [];
  }
  return text
    .split(START)
    .flatMap((part, at): (readonly [string, boolean])[] => {
      const [match, rest] = at === 0 ? ["", part] : splitOnce(part, END);
      return [
        [match, true],
        [rest, false],
      ];
    })
    .filter(([piece]) => piece !== "");
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
