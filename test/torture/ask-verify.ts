// Asks the project's own `afterimage verify --against-database` for its judgement.
import type { SpawnedDaemon } from "../support/daemon.ts";
import type { Verified } from "./evidence.ts";

interface Finding {
  readonly severity: string;
  readonly kind: string;
  readonly what?: string;
}

/** `asked`: that command with `--json`, started. */
export async function verdictOf(asked: SpawnedDaemon, timeout: number): Promise<Verified> {
  const { code } = await asked.exited({ timeout });
  try {
    const { result, findings } = JSON.parse(asked.stdout()) as { result: string; findings: Finding[] };
    const told = findings.filter(({ severity }) => severity !== "note");
    return { exitCode: code, result, findings: told.map((one) => JSON.stringify(one)) };
  } catch {
    return { exitCode: code, result: null, findings: [asked.output().slice(-2000)] };
  }
}
