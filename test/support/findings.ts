// What doctor finds wrong, as tests compare it.
import type { Finding } from "../../src/source/finding.ts";

/**
 * Without SLOT_BLOCKED: making a slot waits for every transaction on the server, those of tests that run beside this one
 * too.
 */
export const withoutOthers = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ code }) => code !== "SLOT_BLOCKED");

/** Errors and warnings. */
export const wrong = (findings: readonly Finding[]): Finding[] =>
  withoutOthers(findings).filter(({ severity }) => severity === "error" || severity === "warning");
