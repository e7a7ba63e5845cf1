// Invariant 6: transactions are whole. At each of their ends, and at each commit vector, the transfers' sum is constant.
import type { Evidence } from "../evidence.ts";
import type { Findings } from "./findings.ts";
import { describe, describePlace, type History, type SeenEvent, type SeenProgress, shortXid } from "./history.ts";
import type { Table } from "./table.ts";

export function checkAtomicity(history: History, evidence: Evidence, findings: Findings): void {
  checkEnds(history, evidence, findings);
  checkVectors(history, findings);
  checkSums(history, evidence, findings);
  const { value } = evidence.constantSum;
  for (const { at, sum } of evidence.looks) {
    if (sum === null) continue;
    findings.examined(6, 1);
    if (sum !== value) findings.add(6, "other", "a look at the view sees another sum", `${sum} after ${at} ms`);
  }
}

/** As many transactions as the audit has, each with its end. */
function checkEnds({ runs, tables, progress, events }: History, { audit }: Evidence, findings: Findings): void {
  const audited = new Set<string>();
  for (const { xid, table } of audit) if (tables.has(table)) audited.add(xid);
  const ended = new Set<string>();
  for (const run of runs) if (run.events.at(-1)!.last) ended.add(run.xid);
  for (const xid8 of audited) {
    if (!ended.has(shortXid(xid8))) findings.add(6, "other", "a transaction has no end in the stream", `xid ${xid8}`);
  }
  findings.examined(6, audited.size);
  const ends = new Set(events.filter(({ last }) => last).map(({ sequence }) => sequence));
  for (const one of progress) {
    if (one.completeSequence !== 0 && !ends.has(one.completeSequence)) {
      const what = `completeSequence ${one.completeSequence}, ${describePlace(one.place)}`;
      findings.add(6, "other", "progress calls a transaction complete in its middle", what);
    }
  }
}

/** Each record of progress names exactly what its Kafka transaction wrote, partition by partition. */
function checkVectors({ partitions, progress }: History, findings: Findings): void {
  const next = new Map<string, number>();
  for (const one of progress) {
    const where = describePlace(one.place);
    const named = new Set<string>();
    for (const { topic, partition, sequence, offset } of one.partitions) {
      const name = `${topic}/${partition}`;
      named.add(name);
      const list = partitions.get(name) ?? [];
      let at = next.get(name) ?? 0;
      const from = at;
      while (at < list.length && list[at]!.offset <= offset) {
        const { event } = list[at]!;
        if (event.sequence < one.firstSequence || event.sequence > one.sequence) {
          const what = `${describe(event)}; sequences ${one.firstSequence} to ${one.sequence}, ${where}`;
          findings.add(6, "other", "a commit vector reaches over an event of another batch", what);
        }
        at++;
      }
      next.set(name, at);
      const end = list[at - 1];
      if (at === from || end!.offset !== offset || end!.event.sequence !== sequence) {
        const what = `sequence ${sequence} in ${name} at ${offset}, ${where}`;
        findings.add(6, "other", "a commit vector names what is not there", what);
      }
    }
    for (const [name, list] of partitions) {
      const behind = list[next.get(name) ?? 0];
      if (behind !== undefined && behind.event.sequence <= one.sequence) {
        findings.add(6, "other", "a commit vector leaves out an event", `${describe(behind.event)}, ${where}`);
        next.set(name, list.findLastIndex(({ event }) => event.sequence <= one.sequence) + 1);
      }
    }
    findings.examined(6, 1);
  }
}

function checkSums(history: History, { constantSum, contents, whole }: Evidence, findings: Findings): void {
  const table = history.tables.get(constantSum.table);
  if (table === undefined) return;
  const established = sumAtEnds(history, table, constantSum, findings);
  if (established === null) {
    const isUsed = whole && (contents.get(constantSum.table) ?? []).length > 0;
    if (isUsed) findings.add(6, "other", "the sum is never what it must be", `${constantSum.value} in ${table.name}`);
    return;
  }
  sumAtVectors(history, table, { ...constantSum, established }, findings);
}

/** Gives the sequence from which on the sum must hold: before it, the rows are being made. */
function sumAtEnds(
  { runs }: History,
  table: Table,
  { column, value }: Evidence["constantSum"],
  findings: Findings,
): number | null {
  const sum = new Sum(table, column);
  let established: number | null = null;
  for (const { events } of runs) {
    let touched = false;
    for (const event of events) {
      if (event.table !== table) continue;
      touched = true;
      for (const { partition } of event.places) sum.apply(event, partition);
    }
    if (!touched) continue;
    const end = events.at(-1)!;
    if (established === null && sum.value === value) established = end.sequence;
    if (established === null) continue;
    findings.examined(6, 1);
    if (sum.value !== value)
      findings.add(6, "other", "a transaction changes the sum", `${describe(end)}: ${sum.value}`);
  }
  return established;
}

/** A reader that steps from vector to vector, partition by partition, sees whole transactions only. */
function sumAtVectors(
  { partitions, progress }: History,
  table: Table,
  { column, value, established }: Evidence["constantSum"] & { established: number },
  findings: Findings,
): void {
  const sum = new Sum(table, column);
  const next = new Map<number, number>();
  for (const one of progress) {
    for (const { topic, partition, offset } of one.partitions) {
      if (topic !== table.spec.topic) continue;
      const list = partitions.get(`${topic}/${partition}`) ?? [];
      let at = next.get(partition) ?? 0;
      for (; at < list.length && list[at]!.offset <= offset; at++) {
        if (list[at]!.event.table === table) sum.apply(list[at]!.event, partition);
      }
      next.set(partition, at);
    }
    const isWhole = one.completeSequence === one.sequence;
    if (!isWhole || one.sequence < established) continue;
    findings.examined(6, 1);
    if (sum.value !== value) findings.add(6, "other", "a commit vector shows another sum", sumText(sum.value, one));
  }
}

const sumText = (sum: bigint, { sequence, place }: SeenProgress): string =>
  `${sum} at sequence ${sequence}, ${describePlace(place)}`;

/** The sum over one column, kept by partition: a barrier's copy clears the rows of its own. */
class Sum {
  readonly #place: number;
  readonly #partitions: Map<string, bigint>[];
  value = 0n;

  constructor(table: Table, column: string) {
    this.#place = table.place(column);
    this.#partitions = Array.from({ length: table.spec.partitions }, () => new Map());
  }

  apply({ operation, key, after }: SeenEvent, partition: number): void {
    const rows = this.#partitions[partition];
    if (rows === undefined) return; // told as a misplaced event
    if (operation === "truncate") {
      for (const amount of rows.values()) this.value -= amount;
      rows.clear();
      return;
    }
    const name = key ?? "";
    this.value -= rows.get(name) ?? 0n;
    rows.delete(name);
    const text = after?.[this.#place];
    // A value that is absent or no number counts as nothing, and so breaks the sum.
    if (text === null || text === undefined || !/^-?\d+$/.test(text)) return;
    rows.set(name, BigInt(text));
    this.value += BigInt(text);
  }
}
