// `afterimage status`: what the daemon says of itself, for people or as JSON.
import { styleText } from "node:util";
import { formatBytes } from "../config/units.ts";
import type { DaemonStatus, SnapshotStatus } from "../daemon/status.ts";
import { AfterimageError, printable, printableMessage } from "../errors.ts";
import { findDaemon } from "./find-daemon.ts";
import type { Flags } from "./options.ts";
import { EXIT } from "./render-error.ts";

export async function status(flags: Flags): Promise<void> {
  const { status: found, pidFile } = await findDaemon(flags);
  if (found === null) {
    throw new AfterimageError(
      "NOT_RUNNING",
      `Process ${pidFile?.pid} holds the pid file, but no admin address answers.`,
      "It may be starting or ending; look at its log, or name its admin address with --admin-port.",
    );
  }
  process.stdout.write(flags.json === true ? `${JSON.stringify(found, null, 2)}\n` : formatStatus(found));
  if (found.state === "halted") process.exitCode = EXIT.halted;
}

/** A table of name and value, one line each. */
export function formatStatus(
  found: DaemonStatus,
  now: number = Date.now(),
  stream: NodeJS.WriteStream = process.stdout,
): string {
  const { position, lag, lastError } = found;
  const lines: [string, string][] = [
    ["stream", `${found.stream} (afterimage ${found.version}, process ${found.pid})`],
    ["state", `${colourState(found.state, stream)} for ${formatAge(now - Date.parse(found.since))}`],
    ["position", formatPosition(position)],
    [
      "lag",
      [
        lag.bytes === null ? "unknown" : `${formatBytes(lag.bytes)} of WAL`,
        lag.seconds === null ? "unknown time" : `${lag.seconds.toFixed(1)} s`,
        ...(lag.retainedBytes === null ? [] : [`the slot keeps ${formatBytes(lag.retainedBytes)}`]),
      ].join(", "),
    ],
    ...formatWal(found.wal),
    ["events", `${Math.round(found.eventsPerSecond)} a second, ${found.eventsPublished} since the start`],
    ...(found.state === "streaming" && found.tables.length === 0
      ? [["tables", "none is captured"] as [string, string]]
      : []),
    ...found.snapshot.map((table, index): [string, string] => [index === 0 ? "snapshot" : "", formatSnapshot(table)]),
    ...found.tables.map(({ table, topic }, index): [string, string] => [
      index === 0 ? "tables" : "",
      `${printable(table)} → ${topic}`,
    ]),
    ...formatMessages(found.messages),
    ...found.notes.map((note, index): [string, string] => [index === 0 ? "notes" : "", printable(note)]),
  ];
  if (lastError !== null) {
    lines.push([
      "last error",
      `${lastError.code}: ${printableMessage(lastError.message)} (${formatAge(now - Date.parse(lastError.at))} ago)`,
    ]);
    lines.push(["", `→ ${printable(lastError.advice)}`]);
  }
  return lines.map(([name, value]) => `${styleText("gray", name.padEnd(11), { stream })} ${value}\n`).join("");
}

/** An earlier version's daemon does not tell of any. */
function formatMessages(messages: DaemonStatus["messages"] | undefined): [string, string][] {
  if (messages == null) return [];
  const { topic, published, notTransactional } = messages;
  const left = notTransactional === 0 ? "" : `, ${notTransactional} were not transactional and are not published`;
  return [["messages", `→ ${topic}, ${published} since the start${left}`]];
}

function formatWal(wal: DaemonStatus["wal"]): [string, string][] {
  if (wal === null || (wal.level === "ok" && wal.awaitedStandbys === null)) return [];
  const left =
    wal.leftBytes === null
      ? "without a bound (max_slot_wal_keep_size)"
      : `the server gives it up after ${formatBytes(Math.max(0, wal.leftBytes))} more${wal.secondsLeft === null ? "" : `, in ${formatAge(wal.secondsLeft * 1000)}`}`;
  const growth = wal.bytesPerSecond > 0 ? [`${formatBytes(wal.bytesPerSecond)} more a second`] : [];
  const awaited = wal.awaitedStandbys === null ? [] : [`Postgres waits for standby ${printable(wal.awaitedStandbys)}`];
  return [
    [
      "wal",
      [`${wal.level}: ${formatBytes(wal.retainedBytes)} kept for the slot`, ...growth, left, ...awaited].join(", "),
    ],
  ];
}

const BAR = 20;

/** `public.orders ██████░░░░ 62 %, 62,000 rows of about 100,000, 21,000 a second, 2 s left`. */
export function formatSnapshot(snapshot: SnapshotStatus): string {
  const { table, rows, estimatedRows, rowsPerSecond, secondsLeft, waitingFor } = snapshot;
  const part = estimatedRows === null || estimatedRows === 0 ? null : Math.min(1, rows / estimatedRows);
  const filled = part === null ? 0 : Math.round(part * BAR);
  const count = (rowCount: number) => rowCount.toLocaleString("en-US");
  return [
    [
      printable(table),
      ...(part === null ? [] : [`${"█".repeat(filled)}${"░".repeat(BAR - filled)} ${Math.floor(part * 100)} %`]),
    ].join(" "),
    `${count(rows)} rows${estimatedRows === null ? "" : ` of about ${count(estimatedRows)}`}`,
    ...(rowsPerSecond > 0 ? [`${count(rowsPerSecond)} a second`] : []),
    ...(secondsLeft === null ? [] : [`${formatAge(secondsLeft * 1000)} left`]),
    ...(waitingFor === null ? [] : [`waits for ${printable(waitingFor)}`]),
  ].join(", ");
}

function formatPosition(position: DaemonStatus["position"]): string {
  if (position === null) return "not known yet";
  const last = position.last === null ? "no event yet" : `last commit ${position.last.timestamp}`;
  const epoch = position.epoch === 1 ? "" : `epoch ${position.epoch}, `;
  return `${epoch}sequence ${position.sequence}, everything up to ${position.endLsn}, ${last}`;
}

function colourState(state: DaemonStatus["state"], stream: NodeJS.WriteStream): string {
  switch (state) {
    case "streaming":
      return styleText("green", state, { stream });
    case "halted":
      return styleText("red", state, { stream });
    case "backing-off":
    case "draining":
      return styleText("yellow", state, { stream });
    case "starting":
    case "preflight":
    case "standby":
    case "snapshotting":
    case "stopped":
      return state;
    default:
      return state satisfies never;
  }
}

/** `12 s`, `3 min`, `4 h`, `2 days`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
