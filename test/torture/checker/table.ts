// A captured table as the checker sees it: rows aligned to its columns, record keys and partitions worked out anew.
import { Partitioners } from "kafkajs";
import type { TableSpec, TextRow } from "../evidence.ts";
import { LayoutError, type Pairs } from "./json-reader.ts";

/** Texts in the order of the table's columns; undefined: the column is absent. */
export type Row = readonly (string | null | undefined)[];

export interface Columns {
  readonly dropped?: readonly string[];
  readonly evolves?: boolean;
}

type Form = "boolean" | "integer" | "float" | "text";

/** kafkajs's own murmur2, which decides like the Java client. */
const partitioner = Partitioners.DefaultPartitioner();

export class Table {
  readonly spec: TableSpec;
  readonly name: string;
  /** Those of the end, then those that were dropped before. */
  readonly columns: readonly string[];
  /** Whether columns came or went: then a row may lack some. */
  readonly evolves: boolean;
  readonly isFull: boolean;
  readonly hasKey: boolean;
  /** Places of the key's columns, in key order. */
  readonly keyPlaces: readonly number[];
  readonly #forms: readonly Form[];
  readonly #places: ReadonlyMap<string, number>;
  readonly #partitionsByKey = new Map<string, number>();
  readonly #leaders: readonly { partitionId: number; leader: number }[];

  constructor(spec: TableSpec, { dropped = [], evolves = dropped.length > 0 }: Columns = {}) {
    this.spec = spec;
    this.name = spec.table;
    this.columns = [...spec.columns, ...dropped];
    this.evolves = evolves;
    this.isFull = spec.identity === "full";
    this.hasKey = spec.key.length > 0;
    this.#places = new Map(this.columns.map((name, place) => [name, place]));
    this.keyPlaces = spec.key.map((name) => this.place(name));
    this.#forms = this.columns.map((name) => formOf(spec.types.get(name)));
    if (this.keyPlaces.some((place) => this.#forms[place] === "float")) {
      throw new RangeError(`${this.name} has a float in its key, whose text the checker does not keep.`);
    }
    this.#leaders = Array.from({ length: spec.partitions }, (_, partitionId) => ({ partitionId, leader: 0 }));
  }

  place(column: string): number {
    const place = this.#places.get(column);
    if (place === undefined) throw new RangeError(`${this.name} has no column ${column}.`);
    return place;
  }

  /** A row of the wire. Throws LayoutError for unknown, doubled or displaced columns and for a value of the wrong kind. */
  row({ names, texts, kinds }: Pairs): Row {
    const row: (string | null | undefined)[] = new Array(this.columns.length).fill(undefined);
    let before = -1;
    for (let at = 0; at < names.length; at++) {
      const place = this.#places.get(names[at]!);
      if (place === undefined) throw new LayoutError(`${this.name} has no column ${names[at]}`);
      const isInPlace = this.evolves ? row[place] === undefined : place > before;
      if (!isInPlace) throw new LayoutError(`column ${names[at]} stands twice or out of order`);
      before = place;
      row[place] = this.#wireText(place, texts[at]!, kinds[at]!);
    }
    return row;
  }

  /** The record key that belongs to a key on the wire. Throws LayoutError when its columns are not the key's. */
  keyOfPairs({ names, texts, kinds }: Pairs): string {
    if (names.length !== this.keyPlaces.length) throw new LayoutError(`a key has ${names.length} columns`);
    const row: (string | null | undefined)[] = [];
    names.forEach((name, at) => {
      const place = this.keyPlaces[at]!;
      if (name !== this.columns[place]) throw new LayoutError(`a key's column ${at + 1} is ${name}`);
      row[place] = this.#wireText(place, texts[at]!, kinds[at]!);
    });
    return this.keyOf(row)!;
  }

  /** A row of the database or of the view. */
  textRow(row: TextRow): Row {
    return this.columns.map((name, place) => {
      const text = row.get(name);
      if (text === undefined && this.evolves) return undefined;
      if (text === undefined) throw new RangeError(`A row of ${this.name} has no column ${name}.`);
      return canonical(text, this.#forms[place]!);
    });
  }

  /** The record key: the key's columns as text; null for a keyless table. */
  keyOf(row: Row): string | null {
    if (!this.hasKey) return null;
    const fields = this.keyPlaces.map(
      (place) => `${JSON.stringify(this.columns[place])}:${JSON.stringify(row[place] ?? null)}`,
    );
    return `{${fields.join(",")}}`;
  }

  partitionOf(key: string | null): number {
    const text = key ?? this.name;
    let partition = this.#partitionsByKey.get(text);
    if (partition === undefined) {
      partition = partitioner({
        topic: this.spec.topic,
        partitionMetadata: this.#leaders as never,
        message: { key: Buffer.from(text, "utf8"), value: null },
      });
      this.#partitionsByKey.set(text, partition);
    }
    return partition;
  }

  /** Only values that can be stored out of line are ever left out. */
  canBeUnchanged(place: number): boolean {
    return this.#forms[place] === "text";
  }

  #wireText(place: number, text: string | null, kind: Pairs["kinds"][number]): string | null {
    if (text === null) return null;
    const form = this.#forms[place]!;
    const fits =
      form === "text"
        ? kind === "string"
        : form === "boolean"
          ? kind === "boolean"
          : form === "integer"
            ? kind === "number" && /^-?\d+$/.test(text)
            : kind === "number" || (kind === "string" && /^(NaN|-?Infinity)$/.test(text));
    if (!fits) throw new LayoutError(`column ${this.columns[place]} holds a ${kind}`);
    return canonical(text, form);
  }
}

function formOf(type: string | undefined): Form {
  switch (type) {
    case undefined:
      return "text";
    case "bool":
    case "boolean":
      return "boolean";
    case "int2":
    case "int4":
    case "oid":
    case "smallint":
    case "integer":
      return "integer";
    case "float4":
    case "float8":
    case "real":
    case "double precision":
      return "float";
    default:
      throw new RangeError(`The wire has no JSON form of its own for the type ${type}.`);
  }
}

/** Floats are compared as IEEE values, -0 kept; everything else byte by byte. */
function canonical(text: string | null, form: Form): string | null {
  if (text === null) return null;
  switch (form) {
    case "boolean":
      return text === "true" ? "t" : text === "false" ? "f" : text;
    case "float": {
      const value = Number(text);
      return Object.is(value, -0) ? "-0" : String(value);
    }
    case "integer":
    case "text":
      return text;
    default:
      throw form satisfies never;
  }
}
