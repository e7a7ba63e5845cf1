// The rules of the source tree as a function of one file's path and text, so that the rules themselves can be tested.

/** What each module of `src` may import besides itself and what is everyone's; a name after `type` may be imported as types only. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  "errors.ts": [],
  "failpoint.ts": [],
  event: [],
  config: [],
  pgoutput: ["event"],
  source: ["event"],
  kafka: ["event"],
  capture: ["event", "pgoutput"],
  sink: ["event", "kafka"],
  images: ["event", "kafka", "type capture"],
  pipeline: ["event", "pgoutput", "capture", "type source", "type sink"],
  daemon: ["event", "config", "pgoutput", "source", "kafka", "capture", "sink", "images", "pipeline"],
  sdk: ["event", "kafka"],
  verify: ["event", "kafka", "sink", "source"],
  typegen: ["event", "source", "sdk"],
  cli: ["daemon", "config", "sdk", "event", "verify", "typegen"],
  sample: ["sdk", "event"],
};

/** Files that every module of `src` may import. */
const EVERYONES = ["errors.ts", "failpoint.ts"];

/** Packages that only some files may touch, because they are wrapped there against what facts say about them. */
const WRAPPED: Record<string, RegExp> = {
  "pg-logical-replication": /^src\/source\/replication-stream\.ts$/,
  "prom-client": /^src\/daemon\/metrics\.ts$/,
  kafkajs: /^src\/(kafka\/|sdk\/consumer)/,
};

export const MOST_LINES = 300;

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

const STATEMENT = /^(import|export)\s+(type\s+)?(?:[\w*{][^;"]*?\sfrom\s+)?"([^"]+)"/gm;
const DYNAMIC = /\bimport\(\s*"([^"]+)"\s*\)/g;

export function importsOf(text: string): Import[] {
  const found: Import[] = [];
  for (const [, , type, from] of text.matchAll(STATEMENT)) {
    found.push({ from: from ?? "", typeOnly: type !== undefined });
  }
  for (const [all, from] of text.matchAll(DYNAMIC)) {
    // `typeof import("…")` is a type; the text before tells.
    const typeOnly = new RegExp(`typeof\\s+${all.replace(/[.*+?^$()[\]{}|\\]/g, "\\$&")}`).test(text);
    found.push({ from: from ?? "", typeOnly });
  }
  return found;
}

/** The module of `src/…`: the folder below `src`, or the file that lies directly in it. */
function moduleOf(path: string): string {
  return path.split("/")[1] ?? "";
}

function resolve(path: string, relative: string): string {
  const parts = path.split("/").slice(0, -1);
  for (const step of relative.split("/")) {
    if (step === "..") parts.pop();
    else if (step !== ".") parts.push(step);
  }
  return parts.join("/");
}

function checkImport(path: string, { from, typeOnly }: Import): string[] {
  if (!from.startsWith(".")) {
    const name = from.split("/")[0] ?? "";
    const allowed = WRAPPED[name];
    return allowed && !allowed.test(path) ? [`imports ${from}, which is wrapped elsewhere`] : [];
  }
  const target = resolve(path, from);
  if (!target.startsWith("src/")) return [`imports ${target}, which is outside of src`];
  const [own, other] = [moduleOf(path), moduleOf(target)];
  if (other === own || EVERYONES.includes(other)) return [];
  const may = MAY_IMPORT[own];
  if (may === undefined) return [`is in the module ${own}, which the map of the source does not know`];
  if (may.includes(other) || (typeOnly && may.includes(`type ${other}`))) return [];
  const how = may.includes(`type ${other}`) ? "types" : "nothing";
  return [`imports ${target}: ${own} may import ${how} of ${other}`];
}

/** Whether a file holds nothing but exports of other files. */
function isBarrel(text: string): boolean {
  const rest = text
    .replace(/\/\*[\s\S]*?\*\/|^\/\/.*$/gm, "")
    .replace(STATEMENT, (all) => (all.startsWith("export") ? "" : all));
  return /^export\b/m.test(text) && /^[\s;]*$/.test(rest);
}

/** What is wrong with a file, one sentence each; `path` is relative to the project, with `/`. */
export function check(path: string, text: string): string[] {
  const problems: string[] = [];
  const lines = text.split("\n").length - 1;
  if (lines > MOST_LINES) problems.push(`has ${lines} lines, more than ${MOST_LINES}: two things live in it`);
  const opening = text.startsWith("#!") ? text.slice(text.indexOf("\n") + 1) : text;
  if (!/^(\/\/ \S|\/\*\*? ?\S|\/\*\*\n \* \S)/.test(opening))
    problems.push("does not open with a line saying what it is for");
  if (path.startsWith("test/") && /\b(it|test|describe|suite)\.(only|skip|todo|skipIf|runIf|fails)\b/.test(text)) {
    problems.push("switches a test off or singles one out");
  }
  if (path.startsWith("src/")) {
    problems.push(...importsOf(text).flatMap((one) => checkImport(path, one)));
    if (isBarrel(text) && path !== "src/sdk/index.ts") problems.push("is a barrel file: only sdk/index.ts is one");
    if (/\bNODE_ENV\b|\bVITEST\b/.test(text)) problems.push("has a switch for tests");
    if (/catch\s*(\([^)]*\))?\s*\{\s*\}/.test(text)) problems.push("swallows an error without a word");
  }
  return problems;
}
