// Reads JSON of one exact layout: no spaces, fields in their order, numbers kept as text. JSON.parse would accept any
// layout, move a column named "1", lose a doubled name and round numbers.

/** An object of scalars as it stands in the text; names may come twice, whoever aligns it will see. */
export interface Pairs {
  readonly names: readonly string[];
  /** Numbers as written, booleans as `t` and `f` like Postgres prints them. */
  readonly texts: readonly (string | null)[];
  readonly kinds: readonly ScalarKind[];
}

export type ScalarKind = "string" | "number" | "boolean" | "null";

/** The text is not of the layout. */
export class LayoutError extends Error {}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const COUNT = /0|[1-9]\d*/y;

export class JsonReader {
  readonly #text: string;
  #at = 0;
  /** Kind of the scalar read last. */
  #kind: ScalarKind = "null";

  constructor(text: string) {
    this.#text = text;
  }

  /** Goes over exactly this text. */
  literal(expected: string): void {
    if (!this.accepts(expected)) this.#fail(expected);
  }

  /** Goes over this text if it comes next. */
  accepts(expected: string): boolean {
    if (!this.#text.startsWith(expected, this.#at)) return false;
    this.#at += expected.length;
    return true;
  }

  end(): void {
    if (this.#at !== this.#text.length) this.#fail("the end");
  }

  string(): string {
    this.literal('"');
    const from = this.#at;
    let to = this.#text.indexOf('"', from);
    if (to === -1) this.#fail("the end of a string");
    const plain = this.#text.slice(from, to);
    if (!plain.includes("\\")) {
      if (/[\x00-\x1f]/.test(plain)) this.#fail("a string without control characters");
      this.#at = to + 1;
      return plain;
    }
    while (this.#isEscaped(to)) {
      to = this.#text.indexOf('"', to + 1);
      if (to === -1) this.#fail("the end of a string");
    }
    this.#at = to + 1;
    try {
      return JSON.parse(this.#text.slice(from - 1, to + 1));
    } catch {
      return this.#fail("a JSON string");
    }
  }

  /** A whole number from 0 that JavaScript can hold. */
  count(): number {
    COUNT.lastIndex = this.#at;
    const text = COUNT.exec(this.#text)?.[0] ?? this.#fail("a count");
    if (!Number.isSafeInteger(Number(text))) this.#fail("a count that fits");
    this.#at += text.length;
    return Number(text);
  }

  boolean(): boolean {
    if (this.accepts("true")) return true;
    this.literal("false");
    return false;
  }

  pairs(): Pairs {
    const names: string[] = [];
    const texts: (string | null)[] = [];
    const kinds: ScalarKind[] = [];
    this.literal("{");
    if (this.accepts("}")) return { names, texts, kinds };
    do {
      names.push(this.string());
      this.literal(":");
      texts.push(this.#scalar());
      kinds.push(this.#kind);
    } while (this.accepts(","));
    this.literal("}");
    return { names, texts, kinds };
  }

  pairsOrNull(): Pairs | null {
    return this.accepts("null") ? null : this.pairs();
  }

  /** A list of strings that holds at least one. */
  strings(): string[] {
    const found: string[] = [];
    this.literal("[");
    do found.push(this.string());
    while (this.accepts(","));
    this.literal("]");
    return found;
  }

  #scalar(): string | null {
    switch (this.#text[this.#at]) {
      case '"':
        this.#kind = "string";
        return this.string();
      case "t":
        this.literal("true");
        this.#kind = "boolean";
        return "t";
      case "f":
        this.literal("false");
        this.#kind = "boolean";
        return "f";
      case "n":
        this.literal("null");
        this.#kind = "null";
        return null;
      default: {
        NUMBER.lastIndex = this.#at;
        const text = NUMBER.exec(this.#text)?.[0] ?? this.#fail("a value");
        this.#at += text.length;
        this.#kind = "number";
        return text;
      }
    }
  }

  #isEscaped(quote: number): boolean {
    let backslashes = 0;
    while (this.#text[quote - 1 - backslashes] === "\\") backslashes++;
    return backslashes % 2 === 1;
  }

  #fail(expected: string): never {
    const found = this.#text.slice(this.#at, this.#at + 30);
    throw new LayoutError(`at ${this.#at} stands ${JSON.stringify(found)}, expected is ${expected}`);
  }
}
