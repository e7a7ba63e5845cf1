// `doctor`, and the preflight of every start: all checks of Postgres and Kafka, each with its remedy.
import { randomUUID } from "node:crypto";
import type { Config } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { AfterimageError } from "../errors.ts";
import { Spool } from "../pipeline/spool.ts";
import { holdsProgress } from "../sink/progress-log.ts";
import { type Finding, ok, problem } from "../source/finding.ts";
import { preflightPostgres } from "../source/preflight.ts";
import { checkTopics, connectKafka, kafkaSettings } from "./preflight-kafka.ts";
import { NEW_EPOCH } from "./start-checks.ts";
import { isSelected } from "./table-resolver.ts";

export type { Finding } from "../source/finding.ts";
export { findingsError } from "../source/finding.ts";

export interface DoctorOptions {
  /** How long servers that don't answer are tried; `startup.wait` by default. */
  readonly waitMs?: number;
  /** Called once for each server that is waited for. */
  readonly onWaiting?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** The stream has run: new tables that can't be captured are warnings. */
  readonly hasRun?: boolean;
  /** A slot or publication that is gone is no error: a new epoch makes it, as a first start does. */
  readonly newEpoch?: boolean;
}

type Checked = Pick<Config, "stream" | "postgres" | "tables" | "keyless" | "topics" | "kafka" | "startup"> &
  Partial<Pick<Config, "spoolFolder">>;

/** All findings, those of Postgres first. Throws only when aborted by the signal, and then at once. */
export async function runDoctor(config: Checked, options: DoctorOptions = {}): Promise<Finding[]> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal?.reason);
  signal?.addEventListener("abort", abort);
  try {
    // What is cut off here closes what it opened, each within its own time limit.
    const findings = await Promise.race([check(config, options), aborted]);
    return [...findings, ...checkSpool(config.spoolFolder ?? null)];
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

async function check(config: Checked, options: DoctorOptions): Promise<Finding[]> {
  const { waitMs = config.startup.waitMs, onWaiting, signal, hasRun = false, newEpoch = false } = options;
  const patience = {
    waitMs,
    ...(onWaiting === undefined ? {} : { onWaiting }),
  };
  // A wrong password is told at once, not after the other server was waited for.
  const hurry = new AbortController();
  const either = signal === undefined ? hurry.signal : AbortSignal.any([signal, hurry.signal]);
  const kafkaTried = connectKafka(kafkaSettings(config.kafka), { ...patience, signal: either });
  try {
    const { findings, tables, hasSlot } = await preflightPostgres(
      { ...config.postgres, hasRun, newEpoch },
      {
        captures: (table) => isSelected(config.tables, table),
        keyless: (schema, table) => matchesTable(config.keyless, schema, table),
      },
      { ...patience, ...(signal === undefined ? {} : { signal }) },
    );
    if (findings.some(({ severity }) => severity === "error")) hurry.abort();
    const kafka = await kafkaTried;
    signal?.throwIfAborted();
    if ("finding" in kafka) return [...findings, kafka.finding];
    const close = () => void kafka.connection.close();
    signal?.addEventListener("abort", close);
    if (!newEpoch && hasSlot === false && (await holdsProgress(kafka.connection, config.stream))) {
      // What a first start would need is beside the point.
      return [slotLost(config), ...findings.filter(({ severity }) => severity === "ok")];
    }
    return [...findings, ...(await checkTopics(kafka.connection, config, tables).catch(asFinding))];
  } finally {
    hurry.abort();
    const kafka = await kafkaTried;
    if ("connection" in kafka) await kafka.connection.close();
  }
}

/** Leaves nothing behind but the folder itself. */
function checkSpool(folder: string | null): Finding[] {
  if (folder === null) {
    return [];
  }
  try {
    Spool.open(folder, `check-${randomUUID()}`).close();
    return [ok("SPOOL_FAILED", `open transactions can be kept in ${folder}`)];
  } catch (error) {
    return asFinding(error);
  }
}

function slotLost({ stream, postgres }: Checked): Finding {
  return problem(
    "SLOT_LOST",
    `Replication slot ${postgres.slot} is gone, though stream ${stream} has been published: changes after its position are lost.`,
    `${NEW_EPOCH} Or rebuild the stream: afterimage drop ${stream} --topics, then start.`,
  );
}

function asFinding(error: unknown): Finding[] {
  if (!(error instanceof AfterimageError)) throw error;
  return [problem(error.code, error.message, error.advice)];
}
