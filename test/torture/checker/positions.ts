// Invariant 7: Postgres is told nothing that is not stored, and what is stored says exactly how far the stream is.
import type { Evidence } from "../evidence.ts";
import type { Findings } from "./findings.ts";
import { describe, describePlace, type History, type SeenEvent, type SeenProgress } from "./history.ts";
import { formatLsn } from "./wire.ts";

export function checkPositions(history: History, evidence: Evidence, findings: Findings): void {
  checkProgress(history, evidence.stream, findings);
  checkKeys(evidence, findings);
  checkSamples(history.progress, evidence, findings);
}

function checkProgress({ progress, events }: History, stream: string, findings: Findings): void {
  const bySequence = new Map(events.map((event) => [event.sequence, event]));
  const report = (sort: string, one: SeenProgress, what = "") => {
    const vector = `sequences ${one.firstSequence} to ${one.sequence}, endLsn ${formatLsn(one.endLsn)}`;
    findings.add(7, "other", sort, `${describePlace(one.place)}, ${vector}${what && `: ${what}`}`);
  };
  progress.forEach((one, at) => {
    const before = progress[at - 1];
    findings.examined(7, 1);
    if (one.stream !== stream) report("a progress record is of another stream", one, one.stream);
    if (before === undefined) {
      const isFirst = one.firstSequence === 1 && one.sequence === 0 && one.last === null && one.partitions.length === 0;
      if (!isFirst) report("the first progress record is not before all events", one);
    } else {
      checkStep(before, one, report);
    }
    checkLast(one, bySequence, report);
    checkEnd(one, bySequence, report);
  });
  const last = events.at(-1);
  const end = progress.at(-1);
  if (last !== undefined && last.sequence > (end?.sequence ?? 0)) {
    findings.add(7, "other", "events stand behind the last progress record", describe(last));
  }
}

type Report = (sort: string, one: SeenProgress, what?: string) => void;

/** From one record to the next nothing is skipped, repeated or taken back. */
function checkStep(before: SeenProgress, one: SeenProgress, report: Report): void {
  const isIdle = one.sequence === before.sequence;
  if (one.origin !== before.origin) report("progress changes its origin", one, `${before.origin}; ${one.origin}`);
  if (one.firstSequence !== before.sequence + 1) {
    report("progress does not begin where the record before it ends", one, `that is at ${before.sequence}`);
  }
  if (one.sequence < before.sequence) report("progress falls back", one, `after sequence ${before.sequence}`);
  if (one.endLsn < before.endLsn) report("progress falls back", one, `after ${formatLsn(before.endLsn)}`);
  if (one.completeSequence < before.completeSequence || one.completeSequence > one.sequence) {
    report("completeSequence is out of bounds", one, `${one.completeSequence} after ${before.completeSequence}`);
  }
  if (!isIdle) return;
  const isSame =
    one.completeSequence === before.completeSequence &&
    one.last?.lsn === before.last?.lsn &&
    one.last?.xid === before.last?.xid &&
    one.last?.index === before.last?.index &&
    one.last?.message === before.last?.message &&
    one.last?.rest === before.last?.rest &&
    one.last?.complete === before.last?.complete;
  if (!isSame) report("a record without events says something new", one);
  if (one.partitions.length > 0) report("a record without events has a commit vector", one);
  // At a start, new schema records come with a record that repeats the position, wherever that is.
  const isRepeated = one.endLsn === before.endLsn && !isOfOneProducer(before, one);
  if (before.last?.complete === false && !isRepeated)
    report("a record without events stands inside a transaction", one);
}

const isOfOneProducer = ({ place: a }: SeenProgress, { place: b }: SeenProgress): boolean =>
  a.producerId === b.producerId && a.producerEpoch === b.producerEpoch;

/** `last` is the transaction of the event published last. */
function checkLast(one: SeenProgress, bySequence: ReadonlyMap<number, SeenEvent>, report: Report): void {
  const { last, sequence, completeSequence } = one;
  if (last === null) {
    if (sequence !== 0) report("a record of progress does not say which transaction is last", one);
    return;
  }
  const event = bySequence.get(sequence);
  if (event === undefined) {
    report("the last event of a progress record is not in the stream", one);
    return;
  }
  const fits =
    last.lsn === event.lsn &&
    last.xid === event.xid &&
    last.timestamp === event.timestamp &&
    last.index === event.index &&
    last.complete === event.last;
  if (!fits) report("last is not the transaction of the last event", one, describe(event));
  // Every message is one event or more.
  const isSaid = last.complete
    ? last.message === null && last.rest === 0
    : last.message !== null && last.message >= 1 && last.message <= last.index;
  if (!isSaid) report("last does not say how far its transaction is published", one, `message ${last.message}`);
  if (last.complete !== (completeSequence === sequence)) {
    report("completeSequence does not fit last", one, `${completeSequence}, complete ${last.complete}`);
  }
}

/** What ends at or below `endLsn` is published: the next event's commit is not below it, the complete one's is. */
function checkEnd(one: SeenProgress, bySequence: ReadonlyMap<number, SeenEvent>, report: Report): void {
  const next = bySequence.get(one.completeSequence + 1);
  if (next !== undefined && next.lsn < one.endLsn)
    report("endLsn is beyond an event that follows", one, describe(next));
  const done = bySequence.get(one.completeSequence);
  if (done !== undefined && one.endLsn <= done.lsn)
    report("endLsn is not beyond the last whole transaction", one, describe(done));
}

function checkKeys({ progress, stream }: Evidence, findings: Findings): void {
  for (const { key, topic, partition, offset } of progress) {
    if (key !== stream)
      findings.add(
        7,
        "other",
        "a progress record has another key than its stream",
        `${topic}/${partition} at ${offset}`,
      );
  }
}

function checkSamples(progress: readonly SeenProgress[], { positions }: Evidence, findings: Findings): void {
  const known = new Set(progress.map(({ endLsn, sequence }) => `${endLsn} ${sequence}`));
  let highest: NonNullable<(typeof positions)[number]["stored"]> | null = null;
  for (const { at, confirmed, stored } of [...positions].sort((a, b) => a.at - b.at)) {
    findings.examined(7, 1);
    if (stored === null) {
      if (highest !== null) findings.add(7, "other", "the stored position is gone", `after ${at} ms`);
      continue;
    }
    const text = `sequence ${stored.sequence}, endLsn ${formatLsn(stored.endLsn)}, after ${at} ms`;
    if (confirmed > stored.endLsn) {
      findings.add(7, "other", "Postgres was told more than is stored", `${formatLsn(confirmed)}; stored is ${text}`);
    }
    if (highest !== null && (stored.endLsn < highest.endLsn || stored.sequence < highest.sequence)) {
      const before = `sequence ${highest.sequence}, endLsn ${formatLsn(highest.endLsn)}`;
      findings.add(7, "other", "the stored position falls back", `${text}; it was ${before}`);
    } else {
      highest = stored;
    }
    if (!known.has(`${stored.endLsn} ${stored.sequence}`)) {
      findings.add(7, "other", "a stored position is not in the progress topic", text);
    }
  }
  const end = progress.at(-1);
  const last = positions.reduce<bigint>((most, { confirmed }) => (confirmed > most ? confirmed : most), 0n);
  if (end !== undefined && last > end.endLsn) {
    findings.add(
      7,
      "other",
      "Postgres was told more than is stored",
      `${formatLsn(last)}; the end is ${formatLsn(end.endLsn)}`,
    );
  }
}
