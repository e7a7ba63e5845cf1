// `afterimage types`: writes TypeScript types and decoders for the tables of a stream, or checks a file written before.
import { readFileSync, writeFileSync } from "node:fs";
import { loadConfigPart } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { isSelected } from "../daemon/table-resolver.ts";
import { AfterimageError } from "../errors.ts";
import { fingerprintOf, generateTypes } from "../typegen/generate.ts";
import { readCatalog } from "../typegen/read-catalog.ts";
import { type Flags, sourcesOf } from "./options.ts";

export async function types(flags: Flags): Promise<void> {
  const out = typeof flags.out === "string" ? flags.out : null;
  if (flags.check === true && out === null) {
    throw new AfterimageError("USAGE", "--check compares a file with the tables.", "Name it: --out FILE --check.");
  }
  const { stream, postgres, tables, keyless } = loadConfigPart(sourcesOf(flags), [
    ...(["stream", "postgres", "tables", "keyless"] as const),
  ]);
  const catalog = await readCatalog(postgres.url, {
    publication: postgres.publication,
    selects: (table) => isSelected(tables, table),
    isKeyless: ({ schema, table }) => matchesTable(keyless, schema, table),
  });
  if (catalog.tables.length === 0) {
    throw new AfterimageError(
      "TABLES_MATCH_NOTHING",
      `No table of the stream ${stream} is there.`,
      "Look at `tables` and `postgres.url`; of a publication that exists, only its tables count.",
    );
  }
  const code = generateTypes(catalog, stream, asTextOf(flags.asText));
  if (out === null) {
    process.stdout.write(code);
  } else if (flags.check === true) {
    check(out, code);
    process.stdout.write(`${out} fits ${count(catalog.tables.length)}.\n`);
  } else {
    write(out, code);
    process.stdout.write(`${out}: ${count(catalog.tables.length)}.\n`);
  }
}

const count = (tables: number): string => `${tables} table${tables === 1 ? "" : "s"}`;

function asTextOf(flag: string | boolean | undefined): string[] {
  const names = typeof flag === "string" ? flag.split(",").map((name) => name.trim()) : [];
  return names.filter((name) => name !== "");
}

function check(file: string, code: string): void {
  let written: string;
  try {
    written = readFileSync(file, "utf8");
  } catch (cause) {
    throw new AfterimageError("TYPES_FILE", `${file} can't be read.`, "Write it: afterimage types --out FILE.", {
      cause,
    });
  }
  if (fingerprintOf(written) !== fingerprintOf(code)) {
    throw new AfterimageError(
      "TYPES_OUTDATED",
      `${file} was made of other tables than there are now, or with another --as-text.`,
      "Write it again without --check, and mend what the compiler then finds.",
    );
  }
}

function write(file: string, code: string): void {
  try {
    writeFileSync(file, code);
  } catch (cause) {
    throw new AfterimageError("TYPES_FILE", `${file} can't be written.`, "Look at the folder and its rights.", {
      cause,
    });
  }
}
