// The error codes that docs/errors.md lists: an end that names another one sends its reader nowhere.
import { readFileSync } from "node:fs";

let known: ReadonlySet<string> | null = null;

/** Those of errors; what `verify` finds is told in its report. */
export function documentedCodes(): ReadonlySet<string> {
  if (known === null) {
    const text = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
    const [errors = ""] = text.split("\n## What verify finds\n");
    const rows = [...errors.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, names]) => [...names!.matchAll(/`(\w+)`/g)]);
    known = new Set(rows.map(([, code]) => code!));
  }
  return known;
}
