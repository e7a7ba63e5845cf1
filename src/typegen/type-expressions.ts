// A type of the catalogue → the expression of its decoder, and the constants for enums and composites that it refers to.
import { BUILT_IN } from "../sdk/values/built-in.ts";
import { SIMPLE_TYPES } from "../sdk/values/types.ts";
import type { CatalogAttribute, CatalogType } from "../source/type-catalog.ts";
import { camelCase, Identifiers, propertyName, quote } from "./names.ts";

const TEXT = "t.text";

/** Types of extensions that have a decoder, as `extension.type`; all others are text. */
const OF_EXTENSIONS: Readonly<Record<string, string>> = {
  "hstore.hstore": "t.hstore",
  "vector.vector": "t.numberList",
  "vector.halfvec": "t.numberList",
};

const NAMES = new Map<unknown, string>(Object.entries(SIMPLE_TYPES).map(([name, decoder]) => [decoder, `t.${name}`]));

export class TypeExpressions {
  readonly #types: ReadonlyMap<number, CatalogType>;
  readonly #asText: ReadonlySet<string>;
  readonly #identifiers: Identifiers;
  readonly #constants = new Map<number, string>();
  /** `const … = …;` in an order in which each refers to earlier ones only. */
  readonly declarations: string[] = [];

  constructor(types: ReadonlyMap<number, CatalogType>, asText: ReadonlySet<string>, identifiers = new Identifiers([])) {
    this.#types = types;
    this.#asText = asText;
    this.#identifiers = identifiers;
  }

  /** The name of a type as schema records have it; one that was dropped meanwhile is named by its OID. */
  nameOf(oid: number): string {
    return this.#types.get(oid)?.name ?? `oid ${oid}`;
  }

  ofColumn(table: string, { name, typeOid, dimensions }: CatalogAttribute): string {
    return this.#asText.has(`${table}.${name}`) ? TEXT : this.#of(typeOid, dimensions);
  }

  #of(oid: number, dimensions: number): string {
    const type = this.#types.get(oid);
    if (type === undefined || this.#isText(type)) {
      return TEXT;
    }
    switch (type.kind) {
      case "base":
        return OF_EXTENSIONS[`${type.extension}.${type.bareName}`] ?? NAMES.get(BUILT_IN.get(oid)?.decoder) ?? TEXT;
      case "array": {
        const depth = Math.max(dimensions, 1);
        const more = type.delimiter !== "," ? `, ${depth}, ${quote(type.delimiter)}` : depth > 1 ? `, ${depth}` : "";
        return `t.array(${this.#of(type.element, 0)}${more})`;
      }
      case "domain":
        return this.#of(type.base, type.dimensions);
      case "range":
      case "multirange":
        return `t.${type.kind}(${this.#of(type.bound, 0)})`;
      case "enum":
      case "composite":
        return this.#constant(type);
      default:
        throw type satisfies never;
    }
  }

  /** An array of a type that stays text is text as a whole. */
  #isText(type: CatalogType): boolean {
    const element = type.kind === "array" ? this.#types.get(type.element) : undefined;
    return this.#asText.has(type.name) || (element !== undefined && this.#asText.has(element.name));
  }

  #constant(type: Extract<CatalogType, { kind: "enum" | "composite" }>): string {
    const known = this.#constants.get(type.oid);
    if (known !== undefined) {
      return known;
    }
    const value =
      type.kind === "enum"
        ? `t.enumeration(${quote(type.name)}, [${type.labels.map(quote).join(", ")}])`
        : this.#composite(type.name, type.attributes);
    const name = this.#identifiers.take(`${camelCase(type.name)}Type`);
    this.declarations.push(`const ${name} = ${value};`);
    this.#constants.set(type.oid, name);
    return name;
  }

  #composite(type: string, attributes: readonly CatalogAttribute[]): string {
    const names = attributes.map(({ name }) => quote(name)).join(", ");
    const decoders = attributes.map(
      ({ name, typeOid, dimensions }) => `${propertyName(name)}: ${this.#of(typeOid, dimensions)}`,
    );
    return `t.composite(${quote(type)}, [${names}], { ${decoders.join(", ")} })`;
  }
}
