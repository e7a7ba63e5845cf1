// The project's own verification as one more judge: it reads the stream and the tables in another way than this checker.
import type { Evidence } from "../evidence.ts";
import type { Findings } from "./findings.ts";

export function checkVerified({ verified, whole }: Evidence, findings: Findings): void {
  if (!whole) return;
  if (verified === null) {
    findings.add(1, "other", "afterimage verify was not asked", "");
    return;
  }
  findings.examined(1, 1);
  const { exitCode, result, findings: found } = verified;
  if (exitCode === 0 && result === "proven") return;
  const what = `${result ?? "no report"}, exit code ${exitCode}: ${found.slice(0, 5).join("; ")}`;
  findings.add(1, "other", "afterimage verify does not prove the stream", what);
}
