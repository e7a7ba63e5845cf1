// What a status means, in words: the state, what needs attention and what to do about it, and when the WAL is too much.
import { bytes, duration, plain } from "/format.js";

const STATES = {
  starting: ["Starting", "Nothing is published yet."],
  preflight: ["Checking Postgres and Kafka", "Nothing is published until both are as they have to be."],
  standby: [
    "Standing by",
    "Another daemon has the slot and streams. This one takes over when it is free; how far the stream is, only the other one knows.",
  ],
  snapshotting: [
    "Streaming, and reading tables",
    "Changes are published to Kafka as they are committed; rows that tables held before are read beside them.",
  ],
  streaming: ["Streaming", "Changes are published to Kafka as they are committed in Postgres, each exactly once."],
  "backing-off": [
    "Waiting to try again",
    "A server is away or refuses. Nothing is lost: Postgres keeps what is committed meanwhile, and the daemon goes on by itself.",
  ],
  draining: ["Stopping", "What is at hand is published to the end of a batch; the rest is sent at the next start."],
  stopped: ["Stopped", "The next start goes on where this one ended."],
  halted: [
    "Halted",
    "Going on could lose or double changes, so it does not. Do what the last error says, then start it again.",
  ],
};

/** Seconds from which on being late is worth a word. */
const LATE_S = 10;
const VERY_LATE_S = 60;

export function stateOf({ state, lag }) {
  const [title, meaning] = STATES[state] ?? [state, ""];
  const late = isStreaming(state) && lag.seconds !== null && lag.seconds >= LATE_S;
  return { title: late ? `${title}, ${duration(lag.seconds)} behind` : title, meaning };
}

export const isStreaming = (state) => state === "streaming" || state === "snapshotting";

/** `good`, `warn` or `bad`: the colour of the whole. */
export function moodOf(status) {
  if (status.state === "halted") return "bad";
  const worst = attentionOf(status).map(({ level }) => level);
  if (worst.includes("bad")) return "bad";
  return worst.includes("warn") || !(isStreaming(status.state) || status.state === "standby") ? "warn" : "good";
}

/** What needs somebody: `[{ about, level, what, todo }]`, the worst first; `about` stays the same while it lasts. */
export function attentionOf({ state, lag, wal, lastError, snapshot, tables, walGuard }) {
  const found = [];
  const add = (about, level, what, todo) =>
    found.push({ about: plain(about), level, what: plain(what), todo: plain(todo) });
  if ((state === "backing-off" || state === "halted") && lastError !== null) {
    add(
      lastError.code,
      state === "halted" ? "bad" : "warn",
      `${lastError.code}: ${lastError.message}`,
      lastError.advice,
    );
  }
  if (wal !== null && wal.level !== "ok") {
    const limit = wal.level === "warn" ? walGuard.warn : walGuard.alert;
    add(
      "The slot keeps much WAL",
      wal.level === "warn" ? "warn" : "bad",
      `The slot makes the server keep ${bytes(wal.retainedBytes)} of WAL${wal.retainedBytes >= limit ? `, more than ${bytes(limit)}` : ""}. ${forecastOf(wal)}`,
      "It falls when the stream gets on. Look at lag and last error, at Kafka, and at transactions that are open for long (pg_stat_activity, xact_start).",
    );
  }
  if (wal !== null && wal.awaitedStandbys !== null) {
    add(
      "Postgres waits for its standby",
      "bad",
      `Postgres sends nothing: it waits for its standby ${wal.awaitedStandbys}.`,
      "Start that standby, or take it out of synchronized_standby_slots.",
    );
  }
  if (isStreaming(state) && lag.seconds !== null && lag.seconds >= VERY_LATE_S) {
    add(
      "The topics are behind",
      "warn",
      `The topics are ${duration(lag.seconds)} behind the database.`,
      "It catches up by itself if the curve of the lag falls. Else Kafka, or the daemon's processor, is slower than what is written.",
    );
  }
  for (const { table, waitingFor } of snapshot) {
    if (waitingFor !== null)
      add(
        `The snapshot of ${table} waits`,
        "warn",
        `The snapshot of ${table} waits for ${waitingFor}.`,
        "It goes on by itself.",
      );
  }
  if (isStreaming(state) && tables.length === 0) {
    add(
      "No table is captured",
      "warn",
      "No table is captured.",
      "Look at the setting tables, and at what the publication holds.",
    );
  }
  return found.sort((one, other) => Number(other.level === "bad") - Number(one.level === "bad"));
}

export function forecastOf({ retainedBytes, bytesPerSecond, leftBytes, secondsLeft }) {
  const growth = bytesPerSecond > 0 ? `Grows by ${bytes(bytesPerSecond)} a second` : "Does not grow";
  if (leftBytes === null) return `${growth}; the server never gives it up, so the disk is the bound.`;
  const most = bytes(retainedBytes + Math.max(0, leftBytes));
  return secondsLeft === null
    ? `${growth}; the server gives it up at ${most}.`
    : `${growth}; the server gives it up in ${duration(secondsLeft)}, at ${most}.`;
}

export function lagOf({ state, lag }) {
  if (lag.seconds === null) return ["–", isStreaming(state) ? "Postgres does not say now" : "known while it streams"];
  const behind = lag.bytes === 0 ? "everything is published" : `${bytes(lag.bytes)} of WAL to go`;
  return [lag.seconds === 0 ? "0 s" : duration(lag.seconds), behind];
}

export function standbyOf({ state, standbyDaemons: waiting }) {
  if (state === "standby")
    return ["This one", waiting > 1 ? `and ${waiting - 1} more` : "takes over when the slot is free"];
  if (waiting === null) return ["–", "Postgres does not say now"];
  if (waiting === 0) return ["None", "nobody takes over if this daemon ends"];
  return waiting === 1
    ? ["1 daemon", "takes over if this one ends"]
    : [`${waiting} daemons`, "one of them takes over if this one ends"];
}
