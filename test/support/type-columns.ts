// A column for every type that the server's pg_type has, and the texts that go into it. A type without values is an error,
// so that none can be forgotten.
import fc from "fast-check";
import type pg from "pg";
import { type CatalogType, readTypes } from "../../src/source/type-catalog.ts";
import { asIs, type Print, printArray, printComposite, printMultirange, printRange } from "./postgres-text.ts";
import { builtInValues, EXTENSION_VALUES, type TypeValues } from "./type-values.ts";

export interface TypeColumn {
  /** SQL's name of the type. */
  readonly declaration: string;
  /** As in a schema record. */
  readonly type: string;
  readonly texts: readonly string[];
  /** Of a decoded value whose text this was. */
  readonly print: (value: unknown, text: string) => string;
  /** Texts that have no value in JavaScript; */
  readonly unrepresentable: RegExp | null;
  /** and whether these are all that match, and no others: inside other values the expression can't tell for sure. */
  readonly isExact: boolean;
  /** Or a domain of one. */
  readonly isArray?: true;
}

/** Types that no column can hold a value of: the server itself refuses, which a test checks. */
export const UNWRITABLE: readonly string[] = [
  ...["_cstring", "gtsvector", "pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list"],
  ...["pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"],
  ...["public.ghstore", "public.ltree_gist", "public.intbig_gkey", "public.box2df", "public.gidx"],
];

const SAMPLES = 8;

/** Bounds in ascending order. */
const BOUNDS: Readonly<Record<string, readonly string[]>> = {
  int4: ["-2147483648", "-1", "0", "7", "2147483647"],
  int8: ["-9223372036854775808", "-1", "9007199254740993", "9223372036854775807"],
  date: ["-infinity", "4714-11-24 BC", "2000-02-29", "5874897-12-31", "infinity"],
  numeric: ["-Infinity", "-1.50", "0", "1e100", "Infinity", "NaN"],
  timestamp: ["-infinity", "4714-11-24 00:00:00 BC", "2000-01-01 00:00:00.000001", "infinity"],
  timestamptz: ["-infinity", "4714-11-24 00:00:00+00 BC", "2000-01-01 00:00:00.000001+00", "2001-01-01 00:00:00+01"],
  float8: ["-Infinity", "-1.5", "0", "1e300", "Infinity", "NaN"],
  text: ["", 'a"b', "a,b", "b)", "z\\"],
};
const DISCRETE = new Set(["int4", "int8", "date"]);

/** Constraints of domains leave some values out. */
const DOMAINS: Readonly<Record<string, readonly string[]>> = {
  "information_schema.cardinal_number": ["0", "2147483647"],
  "information_schema.yes_or_no": ["YES", "NO"],
  "information_schema.time_stamp": ["2026-01-01 00:00:00.12+00", "0001-01-01 00:00:00+00 BC"],
  "public.positive": ["1", "2147483647"],
};

/** Types as columns declare them, with what is more than their names. */
const DECLARED: readonly (readonly [declaration: string, type: string, texts: readonly string[]])[] = [
  ["char(5)", "bpchar", ["ab", "ab   ", ""]],
  ["varchar(3)", "varchar", ["abc", "a  "]],
  ["numeric(10,2)", "numeric", ["1.005", "-99999999.99", "NaN"]],
  ["numeric(3,-2)", "numeric", ["12345"]],
  ["bit(3)", "bit", ["101"]],
  ["time(0)", "time", ["23:59:59.6"]],
  ["timestamptz(3)", "timestamptz", ["2026-01-01 00:00:00.123456+00"]],
  ["interval day to second(2)", "interval", ["1 day 02:03:04.567"]],
  ["int4[][]", "_int4", ["{{1,2},{3,NULL}}", "{}"]],
];

/** Also says that an array is inside, where one of several dimensions is refused as well. */
const BOUNDS_OF_ARRAY = /\[-1:0\]\[5:6\]=/;

type Values = Omit<TypeColumn, "declaration" | "type">;

export async function typeColumns(client: pg.Client, seed: number): Promise<TypeColumn[]> {
  const { rows } = await client.query(`
    SELECT t.oid, current_user AS "user", current_setting('server_version_num')::int AS version,
           quote_ident(n.nspname) || '.' || quote_ident(t.typname) AS declaration
      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
      LEFT JOIN pg_class c ON c.oid = greatest(t.typrelid, e.typrelid)
     WHERE t.typtype <> 'p' AND (c.oid IS NULL OR c.relkind = 'c' OR c.relname = 'plain') ORDER BY t.oid`);
  const types = await readTypes(
    client,
    rows.map(({ oid }) => oid),
  );
  const made = new ValuesOfTypes(types, builtInValues(rows[0].user, rows[0].version), seed);
  const all = rows.map(({ oid, declaration }) => ({ declaration, type: types.get(oid)! }));
  const byName = new Map([...types.values()].map((type) => [type.name, type]));
  return [
    ...all
      .filter(({ type }) => !UNWRITABLE.includes(type.name))
      .map(({ declaration, type }) => ({ declaration, type: type.name, ...made.of(type) })),
    ...DECLARED.map(([declaration, type, texts]) => ({ declaration, type, ...made.of(byName.get(type)!), texts })),
  ];
}

class ValuesOfTypes {
  readonly #types: ReadonlyMap<number, CatalogType>;
  readonly #builtIn: Readonly<Record<string, TypeValues>>;
  readonly #seed: number;
  readonly #made = new Map<number, Values>();

  constructor(types: ReadonlyMap<number, CatalogType>, builtIn: Readonly<Record<string, TypeValues>>, seed: number) {
    this.#types = types;
    this.#builtIn = builtIn;
    this.#seed = seed;
  }

  of(type: CatalogType): Values {
    const made = this.#made.get(type.oid) ?? this.#make(type);
    this.#made.set(type.oid, made);
    return made;
  }

  #make(type: CatalogType): Values {
    switch (type.kind) {
      case "base":
        return this.#base(type);
      case "enum":
        return { texts: type.labels, print: asIs, unrepresentable: null, isExact: true };
      case "domain": {
        const base = this.#byOid(type.base);
        return { ...base, texts: DOMAINS[type.name] ?? base.texts };
      }
      case "array":
        return this.#array(this.#byOid(type.element), type.delimiter);
      case "range":
      case "multirange":
        return this.#range(this.#types.get(type.bound)!, type.kind);
      case "composite":
        return this.#composite(type.attributes.map(({ typeOid }) => this.#byOid(typeOid)));
      default:
        throw type satisfies never;
    }
  }

  #byOid(oid: number): Values {
    const type = this.#types.get(oid)!;
    // An array of what can't be written may still be empty.
    return UNWRITABLE.includes(type.name)
      ? { texts: [], print: asIs, unrepresentable: null, isExact: true }
      : this.of(type);
  }

  #base({ name, extension, bareName }: Extract<CatalogType, { kind: "base" }>): Values {
    const values = extension === null ? this.#builtIn[name] : EXTENSION_VALUES[`${extension}.${bareName}`];
    if (values === undefined) {
      throw new Error(`Type ${name} has no values: add it to test/support/type-values.ts.`);
    }
    const { extremes, more, print = asIs, unrepresentable = null } = values;
    const samples = more === undefined ? [] : fc.sample(more, { numRuns: SAMPLES, seed: this.#seed });
    return { texts: [...extremes, ...samples], print, unrepresentable, isExact: true };
  }

  #array(element: Values, delimiter: string): Values {
    const items = element.texts.map((text) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`);
    const [first = "NULL", second = "NULL"] = items;
    const texts = [
      ...["{}", "{NULL}", `{${[...items, "NULL"].join(delimiter)}}`, ...items.slice(0, 3).map((item) => `{${item}}`)],
      ...[`{{${first}${delimiter}NULL}${delimiter}{${second}${delimiter}${first}}}`],
      `[-1:0][5:6]={{${first}${delimiter}${second}}${delimiter}{NULL${delimiter}NULL}}`,
    ];
    return {
      texts,
      isArray: true,
      print: (value, text) => printArray(nested(element), delimiter, /^\{+/.exec(text)![0].length)(value),
      unrepresentable: either(BOUNDS_OF_ARRAY, element.unrepresentable),
      isExact: element.isExact && element.unrepresentable?.source.startsWith(BOUNDS_OF_ARRAY.source) !== true,
    };
  }

  #range(bound: CatalogType, kind: "range" | "multirange"): Values {
    const side = (text: string) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
    const bounds = BOUNDS[bound.name]!;
    const pairs = bounds.flatMap((lower, at) => bounds.slice(at + 1).map((upper) => `${side(lower)},${side(upper)}`));
    const ranges = [
      ...["empty", "(,)", `[${side(bounds[0]!)},)`, `(,${side(bounds[1]!)})`],
      ...pairs.map((pair) => `[${pair})`),
      ...(DISCRETE.has(bound.name) ? [] : pairs.map((pair) => `(${pair}]`)),
    ];
    const { print, unrepresentable, isExact } = this.of(bound);
    const one = (value: unknown) => print(value, "");
    return kind === "range"
      ? { texts: ranges, print: printRange(one), unrepresentable, isExact }
      : {
          texts: ["{}", ...ranges.map((range) => `{${range}}`), `{[${pairs[0]}),[${side(bounds.at(-2)!)},)}`],
          print: printMultirange(one),
          unrepresentable,
          isExact,
        };
  }

  #composite(attributes: readonly Values[]): Values {
    const field = (text: string | undefined) => (text === undefined ? "" : `"${text.replaceAll(/["\\]/g, "\\$&")}"`);
    const most = Math.max(...attributes.map(({ texts }) => texts.length));
    const rows = Array.from({ length: most }, (_, at) => attributes.map(({ texts }) => field(texts[at])));
    return {
      texts: [`(${attributes.map(() => "").join(",")})`, ...rows.map((fields) => `(${fields.join(",")})`)],
      print: printComposite(attributes.map(nested)),
      unrepresentable: attributes.map((each) => each.unrepresentable).reduce(either, null),
      isExact: false,
    };
  }
}

/** Inside another value, where its own text is not at hand: arrays are of one dimension there. */
const nested =
  ({ print }: Values): Print =>
  (value) =>
    print(value, "{");

const either = (a: RegExp | null, b: RegExp | null): RegExp | null =>
  a === null || b === null ? (a ?? b) : new RegExp(`${a.source}|${b.source}`);
