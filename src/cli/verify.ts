// `afterimage verify`: proves a stream from Kafka alone, or against the tables, and says what is wrong and where.
import { styleText } from "node:util";
import { loadConfigPart } from "../config/config.ts";
import { parseDuration } from "../config/units.ts";
import { connectKafka, kafkaSettings } from "../daemon/preflight-kafka.ts";
import { isSelected } from "../daemon/table-resolver.ts";
import { AfterimageError, printable } from "../errors.ts";
import type { DatabaseOptions } from "../verify/database-check.ts";
import type { Finding, Severity } from "../verify/finding.ts";
import type { VerifyReport } from "../verify/report.ts";
import type { NamedTables } from "../verify/table-plan.ts";
import { verify as runVerify } from "../verify/verify.ts";
import { type Flags, sourcesOf } from "./options.ts";
import { EXIT } from "./render-error.ts";

const SHOWN_OF_A_KIND = 10;
const DRAW_EVERY_MS = 200;

export async function verify(flags: Flags): Promise<void> {
  const database = flags.againstDatabase === true ? databaseOptions(flags) : null;
  const { tables, ignoreUnseen, showKeys, wait } = flags;
  const concernsTables = tables !== undefined || ignoreUnseen === true || showKeys === true || wait !== undefined;
  if (database === null && concernsTables) {
    throw new AfterimageError(
      "USAGE",
      "--tables, --ignore-unseen, --show-keys and --wait concern the tables.",
      "Add --against-database.",
    );
  }
  const { stream, kafka } = loadConfigPart(sourcesOf(flags), ["stream", "kafka"]);
  const connected = await connectKafka(kafkaSettings(kafka), { waitMs: 0 });
  if ("finding" in connected) {
    const { code, what, remedy } = connected.finding;
    throw new AfterimageError(code, what, remedy);
  }
  const line = new ProgressLine(process.stderr);
  try {
    const report = await runVerify(connected.connection, {
      stream,
      database,
      ignoreUnseen: flags.ignoreUnseen === true,
      allowPartial: flags.allowPartial === true,
      onProgress: (sequence, target) => line.draw(sequence, target),
      onStep: (text) => line.say(text),
    });
    line.clear();
    process.stdout.write(flags.json === true ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
    process.exitCode = report.result === "proven" ? EXIT.ok : EXIT.failure;
  } finally {
    line.clear();
    await connected.connection.close();
  }
}

function databaseOptions(flags: Flags): DatabaseOptions {
  const { postgres, tables } = loadConfigPart(sourcesOf(flags), ["stream", "postgres", "tables", "keyless"]);
  const wait = typeof flags.wait === "string" ? parseDuration(flags.wait) : 60_000;
  if (wait === undefined) {
    throw new AfterimageError("USAGE", `--wait ${String(flags.wait)} is no time.`, "Write 90s, 10m or 2h.");
  }
  return {
    postgres,
    selects: (table) => isSelected(tables, table),
    // A configuration may name tables that aren't there yet; who asks for one here wants to hear of it.
    named: typeof flags.tables === "string" ? tables.filter(isInclusion).map(toNamed) : [],
    waitMs: wait,
    showKeys: flags.showKeys === true,
  };
}

const isInclusion = (pattern: string): boolean => !pattern.trim().startsWith("!");

function toNamed(pattern: string): NamedTables {
  const patterns = [pattern];
  return { pattern, selects: (table) => isSelected(patterns, table) };
}

export function formatReport(report: VerifyReport, stream: NodeJS.WriteStream = process.stdout): string {
  const { target, database, counts } = report;
  const kinds = new Set(Object.keys(counts));
  const broken = (...some: readonly string[]) => some.some((kind) => kinds.has(kind));
  const mark = (good: boolean) => styleText(good ? "green" : "red", good ? "✓" : "✗", { stream });
  const lines = [
    `Stream ${report.stream}, verified up to sequence ${target.sequence} (everything that ends at or below ${target.endLsn}).`,
    `${mark(!broken(...SEQUENCE_KINDS))} ${count(report.events, "event")} of ${count(report.transactions, "transaction")} in ${count(report.partitions, "partition")} of ${count(report.topics, "topic")}`,
    `${mark(!broken(...PROGRESS_KINDS))} ${count(report.progressRecords, "progress record")} and their commit vectors`,
  ];
  if (database !== null) {
    lines.push(`Tables as they were at ${database.lsn} (snapshot ${database.snapshot}):`);
    for (const { table, rows, equal } of database.tables) {
      lines.push(`${mark(equal)} ${printable(table)}: ${count(rows, "row")}${equal ? ", equal" : ""}`);
    }
  }
  const shown = new Map<string, number>();
  for (const finding of report.findings) {
    const before = shown.get(finding.kind) ?? 0;
    shown.set(finding.kind, before + 1);
    if (before < SHOWN_OF_A_KIND) {
      lines.push(...formatFinding(finding, stream));
    }
  }
  for (const [kind, total] of Object.entries(counts)) {
    if (total > SHOWN_OF_A_KIND) {
      lines.push(`  ${kind}: ${total - SHOWN_OF_A_KIND} more (--json lists 100 of a kind)`);
    }
  }
  lines.push(ENDING[report.result](report));
  return lines.map((line) => `${line}\n`).join("");
}

const SEQUENCE_KINDS = [
  ...["EVENT_INVALID", "EVENT_FOREIGN", "SCHEMA_UNKNOWN", "COLUMNS_WRONG", "KEY_WRONG", "PARTITION_WRONG"],
  ...["SEQUENCE_GAP", "SEQUENCE_DOUBLE", "SEQUENCE_ORDER", "BARRIER_TORN", "TRANSACTION_TORN", "TRANSACTION_ORDER"],
  ...["KEY_CHANGE_TORN", "TOPIC_LOST"],
];
const PROGRESS_KINDS = [
  ...["PROGRESS_INVALID", "PROGRESS_GAP", "PROGRESS_ORDER", "PROGRESS_BEYOND", "PROGRESS_LAST", "VECTOR_UNMET"],
];

const ENDING: Record<VerifyReport["result"], (report: VerifyReport) => string> = {
  proven: ({ provenFrom, target, database }) =>
    `Proven: sequence ${provenFrom}..${target.sequence} gapless${database === null ? "" : `, ${count(database.tables.length, "table")} equal`}.`,
  partial: ({ provenFrom, target }) =>
    `Nothing is wrong, but not all of it could be proved: sequence ${provenFrom}..${target.sequence} gapless. --allow-partial lets that pass.`,
  wrong: () => "Not proven.",
};

const MARKS: Record<Severity, readonly [colour: "red" | "yellow" | "gray", mark: string]> = {
  wrong: ["red", "✗"],
  unseen: ["yellow", "!"],
  partial: ["yellow", "!"],
  note: ["gray", "·"],
};

function formatFinding(finding: Finding, stream: NodeJS.WriteStream): string[] {
  const { kind, severity, what, table, topic, partition, offset, sequence, key } = finding;
  const [colour, mark] = MARKS[severity];
  const place = [
    topic === undefined ? (table === undefined ? null : `table ${table}`) : `topic ${topic}`,
    partition === undefined ? null : `partition ${partition}`,
    offset === undefined ? null : `offset ${offset}`,
    sequence === undefined ? null : `sequence ${sequence}`,
    key === undefined ? null : `key ${key}`,
  ].filter((part) => part !== null);
  return [
    `${styleText(colour, mark, { stream })} ${styleText("bold", kind, { stream })}: ${printable(what)}`,
    ...(place.length === 0 ? [] : [`  → ${printable(place.join(", "))}`]),
  ];
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** What stands there while the stream is read; the time that is left, as long as it goes on as it went. */
export function progressText(sequence: number, target: number, elapsedMs: number): string {
  const rate = (sequence / Math.max(1, elapsedMs)) * 1000;
  const seconds = Math.max(0, Math.round((target - sequence) / Math.max(rate, 1e-9)));
  const left = seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const percent = target === 0 ? 100 : Math.floor((100 * sequence) / target);
  return `verified sequence ${sequence} of ${target} (${percent} %), ${Math.round(rate)} a second, about ${left} left`;
}

/** One line that is drawn over; nothing at all when the output is not a terminal. */
class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #started = performance.now();
  #drawnAt = 0;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  draw(sequence: number, target: number): void {
    const now = performance.now();
    if (this.#stream.isTTY !== true || now - this.#drawnAt < DRAW_EVERY_MS) return;
    this.#stream.write(`\r\u001b[K${progressText(sequence, target, now - this.#started)}`);
    this.#drawnAt = now;
    this.#drawn = true;
  }

  say(text: string): void {
    if (this.#stream.isTTY !== true) return;
    this.clear();
    this.#stream.write(`${text}\n`);
  }

  clear(): void {
    if (this.#drawn) this.#stream.write("\r\u001b[K");
    this.#drawn = false;
  }
}
