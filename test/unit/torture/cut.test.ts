// A history that broke off is judged up to the last position that is stored with whole transactions, and no further.
import { expect, test } from "vitest";
import { check } from "../../torture/checker/check.ts";
import { cutToStored } from "../../torture/cut.ts";
import type { Evidence, ReadRecord } from "../../torture/evidence.ts";
import { syntheticEvidence } from "./synthetic.ts";

/** As if Kafka had taken nothing after its n-th progress record. */
function brokenAt(evidence: Evidence, count: number): Evidence {
  const progress = evidence.progress.slice(0, count);
  const end = progress.at(-1)!;
  const { sequence } = JSON.parse(end.value!);
  const own = (record: ReadRecord) =>
    record.topic === end.topic ? record.offset <= end.offset : JSON.parse(record.value!).sequence <= sequence;
  return {
    ...evidence,
    progress,
    records: evidence.records.filter(own),
    followed: evidence.followed.filter(own),
    positions: evidence.positions.filter(({ stored }) => stored === null || stored.sequence <= sequence),
  };
}

test("wherever it broke off, what is missing from there on is no violation", () => {
  const evidence = syntheticEvidence({ seed: 3 });
  const isInside = ({ value }: ReadRecord) => JSON.parse(value!).last?.complete === false;
  expect(evidence.progress.some(isInside)).toBe(true);
  for (let count = 2; count < evidence.progress.length; count++) {
    expect(check(cutToStored(brokenAt(evidence, count))).violations).toEqual([]);
  }
});

test("what is missing before is one", () => {
  const evidence = syntheticEvidence();
  const broken = brokenAt(evidence, 20);
  const cut = cutToStored({ ...broken, records: broken.records.toSpliced(40, 1) });
  expect(check(cut)).toMatchObject({ lost: 1 });
});

test("tables and view are not held to hold", () => {
  const verdict = check(cutToStored(brokenAt(syntheticEvidence(), 10)));
  expect(verdict.examined.get(1) ?? 0).toBe(0);
  expect(verdict.examined.get(2)).toBeGreaterThan(0);
});
