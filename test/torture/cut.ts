// A history that broke off, cut at the last position that is stored with whole transactions: up to there everything can
// be judged; what came later may be missing without anybody's fault.
import type { Evidence, ReadRecord } from "./evidence.ts";
import { parseLsn } from "./forge.ts";

interface End {
  readonly sequence: number;
  readonly endLsn: bigint;
  readonly offset: bigint;
}

/** What is left when nothing was stored. */
const NOTHING: End = { sequence: 0, endLsn: 0n, offset: -1n };

export function cutToStored(evidence: Evidence): Evidence {
  const end = evidence.progress.reduce((last, record) => endOf(record) ?? last, NOTHING);
  const progressTopic = `${evidence.stream}.progress`;
  const isBefore = (record: ReadRecord) =>
    record.topic === progressTopic ? record.offset <= end.offset : sequenceOf(record) <= end.sequence;
  const commits = evidence.commits.filter(({ commitLsn }) => commitLsn < end.endLsn);
  const kept = new Set(commits.map(({ xid }) => xid));
  return {
    ...evidence,
    whole: false,
    commits,
    records: evidence.records.filter(isBefore),
    progress: evidence.progress.filter(isBefore),
    followed: evidence.followed.filter(isBefore),
    audit: evidence.audit.filter(({ xid }) => kept.has(String(BigInt(xid) & 0xffff_ffffn))),
    positions: evidence.positions.filter(({ stored }) => stored === null || stored.endLsn <= end.endLsn),
  };
}

/** Null where a transaction is published in part, and for what is no progress record. */
function endOf({ value, offset }: ReadRecord): End | null {
  const found = /"sequence":(\d+),"completeSequence":(\d+),"endLsn":"([0-9A-F]+\/[0-9A-F]+)"/.exec(value ?? "");
  if (found === null || found[1] !== found[2]) return null;
  return { sequence: Number(found[1]), endLsn: parseLsn(found[3]!), offset };
}

/** A record that is no event is kept: it is wrong wherever it stands. */
const sequenceOf = ({ value }: ReadRecord): number =>
  Number(/,"sequence":(\d+),"transaction":\{/.exec(value ?? "")?.[1] ?? 0);
