// `doctor`, and the preflight of every start: all checks of Postgres and Kafka, each with its remedy.
import { randomUUID } from "node:crypto";
import type { Config } from "../config/config.ts";
import { matchesTable } from "../config/table-patterns.ts";
import { AfterimageError } from "../errors.ts";
import { Spool } from "../pipeline/spool.ts";
import { holdsProgress } from "../sink/progress-log.ts";
import { type Finding, ok, problem, remedy, toWarning } from "../source/finding.ts";
import { preflightPostgres } from "../source/preflight.ts";
import { rebuild } from "../source/preflight-slot.ts";
import { judgeImages } from "./imaged-tables.ts";
import { checkBrokers } from "./preflight-brokers.ts";
import { connectKafka, kafkaSettings } from "./preflight-kafka.ts";
import { checkDisks } from "./preflight-local.ts";
import { checkRights } from "./preflight-rights.ts";
import { checkTopics } from "./preflight-topics.ts";
import { NEW_EPOCH } from "./start-checks.ts";
import { isSelected } from "./table-resolver.ts";

export type { Finding, Step } from "../source/finding.ts";
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

type Checked = Pick<
  Config,
  | "stream"
  | "postgres"
  | "tables"
  | "keyless"
  | "images"
  | "messages"
  | "topics"
  | "kafka"
  | "startup"
  | "batch"
  | "snapshot"
  | "snapshotConnections"
  | "log"
  | "pidFile"
> &
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
    const [findings, disks] = await Promise.race([Promise.all([check(config, options), checkDisks(config)]), aborted]);
    return [...findings, ...disks, ...checkSpool(config.spoolFolder ?? null)];
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
    const { tables, hasSlot, ...found } = await preflightPostgres(
      {
        ...config.postgres,
        hasRun,
        newEpoch,
        stream: config.stream,
        readsRows: config.snapshot === "initial",
        snapshotConnections: config.snapshotConnections,
      },
      {
        captures: (table) => isSelected(config.tables, table),
        keyless: (schema, table) => matchesTable(config.keyless, schema, table),
      },
      { ...patience, ...(signal === undefined ? {} : { signal }) },
    );
    // What could not be read can't be said to be unknown.
    const images = hasErrors(found.findings) ? [] : judgeImages(config, tables);
    const findings = [...found.findings, ...(hasRun ? images.map(toWarning) : images)];
    if (hasErrors(findings)) hurry.abort();
    const kafka = await kafkaTried;
    signal?.throwIfAborted();
    if ("finding" in kafka) return [...findings, kafka.finding];
    const close = () => void kafka.connection.close();
    signal?.addEventListener("abort", close);
    const brokers = ok("KAFKA_UNREACHABLE", `Kafka at ${config.kafka.brokers.join(", ")}`);
    const rights = await checkRights(kafka.connection, config, tables).catch(asFindings);
    // Topics that it may not look at can't be judged.
    if (rights.some(({ severity }) => severity === "error")) {
      return [...findings, brokers, ...(hasRun ? rights.map(toWarning) : rights)];
    }
    if (!newEpoch && hasSlot === false && (await holdsProgress(kafka.connection, config.stream))) {
      // What a first start would need is beside the point.
      return [slotLost(config), ...findings.filter(({ severity }) => severity === "ok")];
    }
    const limits = await checkBrokers(kafka.connection, config).catch(asFindings);
    const topics = await checkTopics(kafka.connection, config, tables).catch(asFindings);
    return [...findings, brokers, ...limits, ...rights, ...topics];
  } finally {
    hurry.abort();
    const kafka = await kafkaTried;
    if ("connection" in kafka) await kafka.connection.close();
  }
}

const hasErrors = (findings: readonly Finding[]): boolean => findings.some(({ severity }) => severity === "error");

/** Leaves nothing behind but the folder itself. */
function checkSpool(folder: string | null): Finding[] {
  if (folder === null) {
    return [];
  }
  try {
    Spool.open(folder, `check-${randomUUID()}`).close();
    return [ok("SPOOL_FAILED", `open transactions can be kept in ${folder}`)];
  } catch (error) {
    return asFindings(error);
  }
}

function slotLost({ stream, postgres }: Checked): Finding {
  return problem(
    "SLOT_LOST",
    `Replication slot ${postgres.slot} is gone, though stream ${stream} has been published: changes after its position are lost.`,
    remedy`${NEW_EPOCH} Or rebuild the stream: ${rebuild(stream)}, then start.`,
  );
}

function asFindings(error: unknown): Finding[] {
  if (!(error instanceof AfterimageError)) throw error;
  return [problem(error.code, error.message, error.advice)];
}
