// What doctor finds wrong, as tests compare it.
import type { Finding } from "../../src/source/finding.ts";

/** Errors and warnings. */
export const wrong = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ severity }) => severity === "error" || severity === "warning");
