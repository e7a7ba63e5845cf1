// Invariant 3: sequences are gapless and unique, rise in every partition, and follow commit order.
import type { Evidence } from "../evidence.ts";
import type { Findings } from "./findings.ts";
import { describe, type History, type Run, type SeenEvent } from "./history.ts";
import { formatLsn } from "./wire.ts";

export function checkNumbering(history: History, evidence: Evidence, findings: Findings): void {
  checkSequences(history.events, findings);
  for (const event of history.events) checkPlaces(event, findings);
  checkPartitions(history, findings);
  checkCommitOrder(history.runs, findings);
  for (const run of history.runs) checkTransaction(run, findings);
  checkCommits(history.runs, evidence, findings);
  checkSchemaIds(history.events, findings);
  findings.examined(3, history.events.length);
}

function checkSequences(events: readonly SeenEvent[], findings: Findings): void {
  let expected = 1;
  for (const event of events) {
    if (event.sequence > expected) {
      const missing = event.sequence - expected === 1 ? `${expected} is` : `${expected} to ${event.sequence - 1} are`;
      findings.add(3, "other", "the sequence has a gap", `${missing} missing before ${describe(event)}`);
    }
    if (event.sequence < expected) findings.add(3, "other", "a sequence stands for two events", describe(event));
    expected = event.sequence + 1;
  }
}

/** A barrier stands in each partition once, every other event in one place. */
function checkPlaces(event: SeenEvent, findings: Findings): void {
  const { operation, places, copies, table } = event;
  const isBarrier = operation === "truncate";
  const partitions = new Set(places.map(({ partition }) => partition));
  const again = places.length - (isBarrier ? partitions.size : 1);
  for (let copy = 0; copy < again; copy++)
    findings.add(3, "duplicated", "an event was published again", describe(event));
  if (!isBarrier) return;
  if (copies !== table.spec.partitions) {
    findings.add(3, "other", "a barrier counts its copies wrongly", `${describe(event)}: ${copies}`);
  }
  for (let partition = 0; partition < table.spec.partitions; partition++) {
    if (!partitions.has(partition)) {
      findings.add(
        3,
        "other",
        "a barrier is missing in a partition",
        `${describe(event)}: ${table.spec.topic}/${partition}`,
      );
    }
  }
}

function checkPartitions({ partitions }: History, findings: Findings): void {
  for (const list of partitions.values()) {
    const seen = new Set<SeenEvent>();
    let highest = 0;
    for (const { offset, event } of list) {
      // One that stands here again is told as a duplicate.
      if (event.sequence < highest && !seen.has(event)) {
        const what = `${describe(event)} after sequence ${highest} (offset ${offset})`;
        findings.add(3, "misordered", "sequences fall in a partition", what);
      }
      seen.add(event);
      highest = Math.max(highest, event.sequence);
    }
  }
}

function checkCommitOrder(runs: readonly Run[], findings: Findings): void {
  const seen = new Set<string>();
  runs.forEach((run, at) => {
    const first = run.events[0]!;
    const name = `${run.xid} ${run.lsn}`;
    if (seen.has(name)) findings.add(3, "misordered", "a transaction's events do not stand together", describe(first));
    seen.add(name);
    const before = runs[at - 1];
    if (before !== undefined && run.lsn <= before.lsn) {
      const what = `${describe(first)} after xid ${before.xid} at ${formatLsn(before.lsn)}`;
      findings.add(3, "misordered", "a transaction stands after one that committed later", what);
    }
  });
}

function checkTransaction({ events }: Run, findings: Findings): void {
  events.forEach((event, at) => {
    const before = events[at - 1];
    if (before !== undefined && event.index <= before.index) {
      findings.add(
        3,
        "misordered",
        "indexes fall in a transaction",
        `${describe(event)}: ${before.index}, ${event.index}`,
      );
    }
    if (before !== undefined && event.timestamp !== before.timestamp) {
      findings.add(3, "other", "one transaction has two commit times", describe(event));
    }
    if (event.last !== (at === events.length - 1)) {
      const sort = event.last
        ? "an event is marked as last and is not"
        : "the last event of a transaction is not marked";
      findings.add(3, "other", sort, describe(event));
    }
  });
}

/** Commit LSNs and times come from a slot that the stream has nothing to do with. */
function checkCommits(runs: readonly Run[], { commits }: Evidence, findings: Findings): void {
  const byXid = new Map(commits.map((commit) => [commit.xid, commit]));
  for (const { xid, lsn, events } of runs) {
    const commit = byXid.get(xid);
    if (commit === undefined) continue; // told as a phantom
    if (commit.commitLsn !== lsn) {
      const what = `${describe(events[0]!)}, it committed at ${formatLsn(commit.commitLsn)}`;
      findings.add(3, "other", "a transaction has another commit LSN than the WAL", what);
    }
    const wrong = events.find(({ timestamp }) => timestamp !== commit.timestamp);
    if (wrong !== undefined) {
      const what = `${describe(wrong)}: ${wrong.timestamp}, it committed at ${commit.timestamp}`;
      findings.add(2, "other", "an event has another time than its commit", what);
    }
  }
}

/** A schema id belongs to one table. */
function checkSchemaIds(events: readonly SeenEvent[], findings: Findings): void {
  const tables = new Map<number, string>();
  for (const event of events) {
    const table = tables.get(event.schema) ?? event.table.name;
    tables.set(event.schema, table);
    if (table !== event.table.name) {
      findings.add(
        3,
        "other",
        "a schema id stands for two tables",
        `${describe(event)}: ${event.schema} is ${table}'s`,
      );
    }
  }
}
