// What a check found: a stable code, how bad it is, and the exact remedy. Rendering and halting are others' business.
import { AfterimageError } from "../errors.ts";

/** One thing to do, as it is to be pasted; the steps of a finding in this order. */
export interface Step {
  /**
   * `sql`: one statement for psql in the captured database, as a superuser unless the remedy says otherwise. `shell`: a
   * command line. `setting`: YAML for the configuration. `restart`: the name of what has to be restarted.
   */
  readonly kind: "sql" | "shell" | "setting" | "restart";
  readonly text: string;
}

export interface Finding {
  readonly code: string;
  /**
   * `error` stops the start; `warning` doesn't; `note` is no fault and good to know; `ok` is what is as it should be.
   * The last two are shown by doctor only.
   */
  readonly severity: "error" | "warning" | "note" | "ok";
  readonly what: string;
  /** The command, SQL or setting that mends it, in a sentence that holds each of the steps; empty for `ok`. */
  readonly remedy: string;
  /** The remedy for programs; empty where a person has to decide. */
  readonly steps: readonly Step[];
}

/** A remedy with the steps that stand in it, as `remedy` makes it. */
export interface Remedy {
  readonly text: string;
  readonly steps: readonly Step[];
}

const step =
  (kind: Step["kind"]) =>
  (text: string): Step => ({ kind, text });

export const sql = step("sql");
export const shell = step("shell");
export const setting = step("setting");
export const restart = step("restart");

/** Several steps, one after the other. */
export const inTurn = (steps: readonly Step[]): Remedy => ({
  text: steps.map(({ text }) => text).join(" "),
  steps,
});

/** The text with its steps: remedy`Set it, then restart: ${sql("ALTER SYSTEM …;")}`. */
export function remedy(texts: TemplateStringsArray, ...parts: readonly (Step | Remedy | string)[]): Remedy {
  let text = texts[0]!;
  const steps: Step[] = [];
  for (const [index, part] of parts.entries()) {
    text += (typeof part === "string" ? part : part.text) + texts[index + 1]!;
    if (typeof part !== "string") steps.push(...("steps" in part ? part.steps : [part]));
  }
  return { text, steps };
}

/** `sql` of one statement, and that the server shall read its settings again. */
export const alterSystem = (setting: string, value: string): Remedy =>
  inTurn([sql(`ALTER SYSTEM SET ${setting} = ${value};`), sql("SELECT pg_reload_conf();")]);

export const ok = (code: string, what: string): Finding => ({ code, severity: "ok", what, remedy: "", steps: [] });

export const note = (code: string, what: string, how: string | Remedy): Finding => found("note", code, what, how);

export const warning = (code: string, what: string, how: string | Remedy): Finding => found("warning", code, what, how);

export const problem = (code: string, what: string, how: string | Remedy): Finding => found("error", code, what, how);

function found(severity: Finding["severity"], code: string, what: string, how: string | Remedy): Finding {
  const { text, steps } = typeof how === "string" ? { text: how, steps: [] } : how;
  return { code, severity, what, remedy: text, steps };
}

/** An error that stops nothing here. */
export const toWarning = (finding: Finding): Finding =>
  finding.severity === "error" ? { ...finding, severity: "warning" } : finding;

/** The errors among the findings as one error with the first one's code; null when there are none. */
export function findingsError(findings: readonly Finding[]): AfterimageError | null {
  const errors = findings.filter(({ severity }) => severity === "error");
  const [first, ...others] = errors;
  if (first === undefined) return null;
  if (others.length === 0) return new AfterimageError(first.code, first.what, first.remedy);
  return new AfterimageError(
    first.code,
    `${errors.length} things must be mended first:`,
    "Mend each of them; `afterimage doctor` checks them again.",
    { items: errors.map(({ code, what, remedy }) => `${code}: ${what} ${remedy}`) },
  );
}
