// `afterimage verify` as a process, and what it reports.
import type { FindingKind } from "../../src/verify/finding.ts";
import type { VerifyReport } from "../../src/verify/report.ts";
import { spawnCli } from "./daemon.ts";

export interface VerifyRun {
  readonly code: number | null;
  readonly report: VerifyReport;
  readonly output: string;
  /** The kinds found, notes left out. */
  readonly kinds: FindingKind[];
}

/** Runs it with `--json` until it ends; `output` is all there is when it failed before it had a report. */
export async function runVerify(
  env: NodeJS.ProcessEnv,
  flags: readonly string[] = [],
  timeout = 120_000,
): Promise<VerifyRun> {
  const run = spawnCli(["verify", "--json", ...flags], env);
  const { code } = await run.exited({ timeout });
  const json = run.stdout();
  const report = (json.startsWith("{") ? JSON.parse(json) : null) as VerifyReport;
  const kinds = (report?.findings ?? []).filter(({ severity }) => severity !== "note").map(({ kind }) => kind);
  return { code, report, output: run.output(), kinds: [...new Set(kinds)] };
}

interface Verifiable {
  readonly stream: string;
  readonly brokers: readonly string[];
  readonly database: { readonly url: string };
}

/** `verify --against-database` of all tables. */
export function verifyDatabase(
  { stream, brokers, database }: Verifiable,
  flags: readonly string[] = [],
  more: Record<string, string> = {},
  timeout?: number,
): Promise<VerifyRun> {
  const env = {
    AFTERIMAGE_STREAM: stream,
    AFTERIMAGE_POSTGRES_URL: database.url,
    AFTERIMAGE_KAFKA_BROKERS: brokers.join(","),
    AFTERIMAGE_TABLES: "*.*",
    ...more,
  };
  return runVerify(env, ["--against-database", ...flags], timeout);
}
