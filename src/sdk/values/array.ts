// Arrays: nested as the text is. Postgres's arrays may begin at any index, JavaScript's can't.
// https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
import { type Decoder, unreadable, unrepresentable } from "./decoder.ts";

export type NestedArray<T> = readonly (T | null | NestedArray<T>)[];

export type ArrayOf<T, Dimensions extends number> = Dimensions extends 1
  ? readonly (T | null)[]
  : Dimensions extends 2
    ? readonly (readonly (T | null)[])[]
    : NestedArray<T>;

/** Any number of dimensions. `delimiter` is the element type's (`;` for box). */
export function nestedArray<T>(element: Decoder<T>, delimiter = ","): Decoder<NestedArray<T>> {
  return { decode: (text) => new ArrayReader(text, element, delimiter).read() };
}

/**
 * An array of that many dimensions. Postgres does not enforce what a column declares: an array of another number is the
 * error VALUE_UNREPRESENTABLE. An empty array has none, and fits all.
 */
export function array<T, Dimensions extends number = 1>(
  element: Decoder<T>,
  dimensions: Dimensions = 1 as Dimensions,
  delimiter = ",",
): Decoder<ArrayOf<T, Dimensions>> {
  return {
    decode(text) {
      const reader = new ArrayReader(text, element, delimiter);
      const value = reader.read();
      if (value.length > 0 && reader.depth !== dimensions) {
        throw unrepresentable(`An array of ${reader.depth} dimensions in a column declared with ${dimensions}`);
      }
      return value as ArrayOf<T, Dimensions>;
    },
  };
}

class ArrayReader<T> {
  /** Dimensions met. */
  depth = 0;
  readonly #text: string;
  readonly #element: Decoder<T>;
  readonly #delimiter: string;
  #at = 0;

  constructor(text: string, element: Decoder<T>, delimiter: string) {
    this.#text = text;
    this.#element = element;
    this.#delimiter = delimiter;
  }

  read(): NestedArray<T> {
    if (this.#text.startsWith("[")) {
      // Postgres prints bounds only where one of them isn't 1.
      throw unrepresentable("An array whose first index isn't 1");
    }
    const value = this.#level(1);
    if (this.#at !== this.#text.length) {
      throw unreadable("an array");
    }
    return value;
  }

  #level(depth: number): NestedArray<T> {
    this.depth = Math.max(this.depth, depth);
    this.#take("{");
    const items: (T | null | NestedArray<T>)[] = [];
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return items;
    }
    for (;;) {
      items.push(this.#text[this.#at] === "{" ? this.#level(depth + 1) : this.#item());
      if (this.#text[this.#at] !== this.#delimiter) {
        this.#take("}");
        return items;
      }
      this.#at++;
    }
  }

  #item(): T | null {
    if (this.#text[this.#at] === '"') {
      return this.#element.decode(this.#quoted());
    }
    const start = this.#at;
    while (this.#at < this.#text.length && this.#text[this.#at] !== this.#delimiter && this.#text[this.#at] !== "}") {
      this.#at++;
    }
    const item = this.#text.slice(start, this.#at);
    return item === "NULL" ? null : this.#element.decode(item);
  }

  #quoted(): string {
    let item = "";
    for (this.#at++; this.#text[this.#at] !== '"'; this.#at++) {
      if (this.#text[this.#at] === "\\") {
        this.#at++;
      }
      if (this.#at >= this.#text.length) {
        throw unreadable("an array");
      }
      item += this.#text[this.#at];
    }
    this.#at++;
    return item;
  }

  #take(character: string): void {
    if (this.#text[this.#at] !== character) {
      throw unreadable("an array");
    }
    this.#at++;
  }
}
