// The TypeScript file that `afterimage types` writes: decoders of every column, and the types that follow from them.
import { hash } from "node:crypto";
import { Identifiers, pascalCase, propertyName, quote } from "./names.ts";
import type { TypedCatalog, TypedTable } from "./read-tables.ts";
import { TypeExpressions } from "./type-expressions.ts";

const FINGERPRINT = "// Fingerprint: ";

/** `asText`: types that stay text, or columns as `schema.table.column`. */
export function generateTypes({ tables, types }: TypedCatalog, stream: string, asText: readonly string[]): string {
  const identifiers = new Identifiers(["tables", "defineTables", "RowOf", "t"]);
  const expressions = new TypeExpressions(types, new Set(asText), identifiers);
  const definitions = tables.map((table) => definition(table, expressions));
  const aliases = tables.map(({ name }) => {
    const alias = identifiers.take(pascalCase(name));
    return `export type ${alias} = RowOf<typeof tables, ${quote(name)}>;`;
  });
  const body = [
    'import { defineTables, type Row as RowOf, types as t } from "afterimage-cdc/sdk";',
    "",
    ...expressions.declarations,
    ...(expressions.declarations.length === 0 ? [] : [""]),
    "export const tables = defineTables({",
    ...definitions,
    "});",
    "",
    ...aliases,
    "",
  ].join("\n");
  return [
    `// Written by \`afterimage types\` from the tables of stream ${stream}. Don't edit it: write it again after a schema change.`,
    `${FINGERPRINT}${hash("sha256", body).slice(0, 16)}`,
    body,
  ].join("\n");
}

/** What tells whether a file was made of the same tables, however it was formatted since; null when it was not made here. */
export function fingerprintOf(file: string): string | null {
  const line = file.split("\n").find((each) => each.startsWith(FINGERPRINT));
  return line === undefined ? null : line.slice(FINGERPRINT.length).trim();
}

function definition({ name, key, columns }: TypedTable, expressions: TypeExpressions): string {
  const lines = columns.map(
    (column) =>
      `      ${propertyName(column.name)}: [${quote(expressions.nameOf(column.typeOid))}, ${expressions.ofColumn(name, column)}],`,
  );
  return [
    `  ${quote(name)}: {`,
    `    key: [${key.map(quote).join(", ")}],`,
    "    columns: {",
    ...lines,
    "    },",
    "  },",
  ].join("\n");
}
