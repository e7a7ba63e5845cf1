// What a check found: a stable code, how bad it is, and the exact remedy. Rendering and halting are others' business.
import { AfterimageError } from "../errors.ts";

export interface Finding {
  readonly code: string;
  /** `error` stops the start; `warning` doesn't; `ok` is shown by doctor only. */
  readonly severity: "error" | "warning" | "ok";
  readonly what: string;
  /** The command, SQL or setting that mends it; empty for `ok`. */
  readonly remedy: string;
}

export const ok = (code: string, what: string): Finding => ({ code, severity: "ok", what, remedy: "" });

export const warning = (code: string, what: string, remedy: string): Finding => ({
  code,
  severity: "warning",
  what,
  remedy,
});

export const problem = (code: string, what: string, remedy: string): Finding => ({
  code,
  severity: "error",
  what,
  remedy,
});

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
