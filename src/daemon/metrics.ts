// The daemon as Prometheus sees it: one list of metrics, each of which reads the status when it is scraped. Nothing is
// told while events flow, and what is not known has no sample. docs/metrics.md has the same list; a test compares them.
import { Counter, Gauge, Registry } from "prom-client";
import { type DaemonStatus, type SnapshotStatus, STATES, type WalStatus } from "./status.ts";

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metric {
  /** A counter's ends in `_total`; the unit comes before that. */
  readonly name: string;
  readonly kind: "counter" | "gauge";
  readonly help: string;
  /** Besides `stream`, which all have. */
  readonly labels: readonly string[];
  readonly read: (status: DaemonStatus) => readonly Sample[];
}

type Read = (status: DaemonStatus) => number | null | undefined;

const metric =
  (kind: Metric["kind"]) =>
  (name: string, help: string, read: Read): Metric => ({
    name,
    kind,
    help,
    labels: [],
    read: (status) => {
      const value = read(status);
      return value == null ? [] : [{ labels: {}, value }];
    },
  });
const gauge = metric("gauge");
const counter = metric("counter");

const labelled = (
  kind: Metric["kind"],
  name: string,
  label: string,
  help: string,
  read: (status: DaemonStatus) => Iterable<readonly [string, number | null]>,
): Metric => ({
  name,
  kind,
  help,
  labels: [label],
  read: (status) =>
    [...read(status)].flatMap(([of, value]) => (value === null ? [] : [{ labels: { [label]: of }, value }])),
});

const seconds = (time: string): number => Date.parse(time) / 1000;

/** One of each name, 1 for the one that holds. */
const oneOf = (names: readonly string[], now: string) => names.map((name) => [name, name === now ? 1 : 0] as const);

const LEVELS: readonly WalStatus["level"][] = ["ok", "warn", "alert", "give-up"];

const ofSnapshots =
  (value: (snapshot: SnapshotStatus) => number | null) =>
  ({ snapshot }: DaemonStatus) =>
    snapshot.map((each) => [each.table, value(each)] as const);

const { timeOrigin } = performance;

export const METRICS: readonly Metric[] = [
  labelled("gauge", "afterimage_build_info", "version", "1; the label is the version that runs.", ({ version }) => [
    [version, 1],
  ]),
  labelled(
    "gauge",
    "afterimage_state",
    "state",
    "1 for the state that the daemon is in, 0 for each other.",
    ({ state }) => oneOf(STATES, state),
  ),
  gauge("afterimage_state_since_timestamp_seconds", "When that state was entered, Unix time.", ({ since }) =>
    seconds(since),
  ),
  gauge("afterimage_epoch", "Epoch of the stream: how often it went on after changes were lost, from 1.", (status) =>
    status.position === null ? null : status.position.epoch,
  ),
  gauge("afterimage_sequence", "Number of the event published last, of this and earlier runs.", (status) =>
    status.position === null ? null : status.position.sequence,
  ),
  gauge(
    "afterimage_last_commit_timestamp_seconds",
    "Commit time in Postgres of the event published last, Unix time.",
    ({ position }) => (position?.last == null ? null : seconds(position.last.timestamp)),
  ),
  gauge(
    "afterimage_lag_bytes",
    "WAL between what is published and what the server has written.",
    ({ lag }) => lag.bytes,
  ),
  gauge(
    "afterimage_lag_seconds",
    "Age of the oldest commit that is known not to be published; 0 when all is.",
    ({ lag }) => lag.seconds,
  ),
  counter(
    "afterimage_events_published_total",
    "Events committed in Kafka since the start.",
    (status) => status.eventsPublished,
  ),
  labelled(
    "counter",
    "afterimage_table_events_published_total",
    "table",
    "Events of a captured table committed in Kafka since the start; a barrier counts once.",
    ({ tables }) => tables.map(({ table, events }) => [table, events]),
  ),
  counter(
    "afterimage_published_bytes_total",
    "Encoded bytes committed in Kafka since the start.",
    ({ transactions }) => transactions.bytes,
  ),
  counter(
    "afterimage_kafka_transactions_total",
    "Kafka transactions committed since the start, also those that only move the position.",
    ({ transactions }) => transactions.published,
  ),
  counter(
    "afterimage_kafka_transaction_seconds_total",
    "Time that Kafka took for them, one after the other; 1 a second means that Kafka is the bound.",
    ({ transactions }) => transactions.seconds,
  ),
  gauge("afterimage_tables", "Captured tables.", ({ tables }) => tables.length),
  counter(
    "afterimage_messages_published_total",
    "Messages published since the start; with messages.prefixes.",
    (status) => (status.messages === null ? null : status.messages.published),
  ),
  counter(
    "afterimage_messages_not_transactional_total",
    "Messages with a chosen prefix that were not transactional and are not published.",
    ({ messages }) => messages?.notTransactional,
  ),
  gauge("afterimage_wal_retained_bytes", "WAL that the server keeps for the slot.", ({ wal }) => wal?.retainedBytes),
  gauge(
    "afterimage_wal_growth_bytes_per_second",
    "By which it grows, over the last minute; below 0 when it falls.",
    ({ wal }) => wal?.bytesPerSecond,
  ),
  gauge(
    "afterimage_wal_left_bytes",
    "WAL that may still be written until the server can give the slot up; with max_slot_wal_keep_size.",
    ({ wal }) => wal?.leftBytes,
  ),
  gauge(
    "afterimage_wal_left_seconds",
    "How long that lasts at this growth; while it grows.",
    ({ wal }) => wal?.secondsLeft,
  ),
  labelled("gauge", "afterimage_wal_level", "level", "1 for the WAL guard's level, 0 for each other.", ({ wal }) =>
    wal === null ? [] : oneOf(LEVELS, wal.level),
  ),
  labelled(
    "gauge",
    "afterimage_wal_limit_bytes",
    "level",
    "Where the WAL guard's level begins, as it is set.",
    ({ walGuard }) => [
      ["warn", walGuard.warn],
      ["alert", walGuard.alert],
      ["give-up", walGuard.giveUp],
    ],
  ),
  gauge(
    "afterimage_wal_awaits_standby",
    "1 while Postgres sends nothing because it waits for a standby of its own (synchronized_standby_slots).",
    ({ wal }) => (wal === null ? null : Number(wal.awaitedStandbys !== null)),
  ),
  gauge(
    "afterimage_standby_daemons",
    "Daemons of this stream that stand by, seen in the database.",
    ({ standbyDaemons }) => standbyDaemons,
  ),
  gauge("afterimage_snapshots", "Tables whose snapshot is not over.", ({ snapshot }) => snapshot.length),
  labelled(
    "gauge",
    "afterimage_snapshot_rows",
    "table",
    "Rows that a snapshot has read; while it is not over.",
    ofSnapshots(({ rows }) => rows),
  ),
  labelled(
    "gauge",
    "afterimage_snapshot_estimated_rows",
    "table",
    "Rows of that table, as the catalogue has it; where it knows.",
    ofSnapshots(({ estimatedRows }) => estimatedRows),
  ),
  labelled(
    "gauge",
    "afterimage_snapshot_waits",
    "table",
    "1 while something, such as a transaction, keeps a snapshot from going on.",
    ofSnapshots(({ waitingFor }) => Number(waitingFor !== null)),
  ),
  labelled(
    "counter",
    "afterimage_errors_total",
    "code",
    "Errors since the start that the daemon backed off from or halted with, by code.",
    ({ errorCounts }) => Object.entries(errorCounts),
  ),
  gauge("process_start_time_seconds", "When the process was started, Unix time.", () => timeOrigin / 1000),
  gauge("process_resident_memory_bytes", "Resident memory of the process.", () => process.memoryUsage.rss()),
  counter("process_cpu_seconds_total", "Processor time of the process, user and system.", () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  }),
  counter(
    "afterimage_event_loop_active_seconds_total",
    "Time in which the one thread was at work; 1 a second means that the daemon is the bound.",
    () => performance.eventLoopUtilization().active / 1000,
  ),
];

/** The text of one scrape. Every one has a registry of its own, so that two at a time don't disturb each other. */
export async function renderMetrics(
  status: DaemonStatus,
  metrics: readonly Metric[] = METRICS,
): Promise<{ contentType: string; text: string }> {
  const registry = new Registry();
  registry.setDefaultLabels({ stream: status.stream });
  for (const { name, kind, help, labels, read } of metrics) {
    const samples = read(status);
    if (samples.length === 0) continue;
    const settings = { name, help, labelNames: [...labels], registers: [registry] };
    if (kind === "counter") {
      const made = new Counter(settings);
      for (const sample of samples) made.inc(sample.labels, sample.value);
    } else {
      const made = new Gauge(settings);
      for (const sample of samples) made.set(sample.labels, sample.value);
    }
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}
