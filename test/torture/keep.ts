// What a failed history leaves: its plan, the report, all that processes and servers wrote, the view's file, and the
// evidence, an item a line, since no string could hold all of it.
import { copyFileSync, createWriteStream, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Evidence } from "./evidence.ts";
import type { HistoryPlan } from "./plan.ts";

export interface Remains {
  readonly plan: HistoryPlan;
  readonly evidence: Evidence | null;
  /** Everything the processes wrote, by file name. */
  readonly outputs: ReadonlyMap<string, string>;
  /** Files to copy, by the name they get. */
  readonly files: ReadonlyMap<string, string>;
}

/** Gives the folder. */
export async function keep(folder: string, remains: Remains, report: unknown): Promise<string> {
  const own = join(folder, remains.plan.seed.replaceAll(/[^\w.-]/g, "-"));
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, "plan.json"), toJson(remains.plan));
  writeFileSync(join(own, "report.json"), toJson(report));
  for (const [name, text] of remains.outputs) writeFileSync(join(own, name), text);
  for (const [name, path] of remains.files) if (existsSync(path)) copyFileSync(path, join(own, name));
  if (remains.evidence !== null) {
    await pipeline(
      Readable.from(linesOf(remains.evidence)),
      createGzip(),
      createWriteStream(join(own, "evidence.jsonl.gz")),
    );
  }
  return own;
}

/** `[part, item]` in each line; of what is no list, `[part, value]`. */
export function* linesOf(evidence: Evidence): Generator<string> {
  for (const [part, value] of Object.entries(evidence)) {
    const items: Iterable<unknown> = Array.isArray(value) || value instanceof Map ? value : [value];
    for (const item of items) yield `${toJson([part, item], 0)}\n`;
  }
}

/** Bigints as text, maps as lists of pairs. */
export function toJson(value: unknown, indent = 1): string {
  return JSON.stringify(
    value,
    (_, item) => (typeof item === "bigint" ? String(item) : item instanceof Map ? [...item] : item),
    indent,
  );
}
