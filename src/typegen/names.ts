// Names for generated code, made of names that may be any text: identifiers that are unique, and quoted property names.

/** Identifiers handed out once each. */
export class Identifiers {
  readonly #used: Set<string>;

  constructor(reserved: readonly string[]) {
    this.#used = new Set(reserved);
  }

  /** `wanted`, or with a number behind it. */
  take(wanted: string): string {
    let name = wanted;
    for (let count = 2; this.#used.has(name); count++) {
      name = `${wanted}${count}`;
    }
    this.#used.add(name);
    return name;
  }
}

/** `public.order_items` → `OrderItems`, `sales.orders` → `SalesOrders`. */
export function pascalCase(qualified: string): string {
  const words = qualified.replace(/^public\./, "").match(/[\p{L}\p{N}]+/gu) ?? [];
  const name = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
  return /^\p{L}/u.test(name) ? name : `_${name}`;
}

export function camelCase(qualified: string): string {
  const name = pascalCase(qualified);
  return name[0]!.toLowerCase() + name.slice(1);
}

/** The name of a property in an object literal. A plain `__proto__` would set the prototype. */
export function propertyName(name: string): string {
  if (name === "__proto__") {
    return '["__proto__"]';
  }
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quote(name);
}

export const quote = (text: string): string => JSON.stringify(text);
