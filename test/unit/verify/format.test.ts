// The report of verify as people read it.
import { expect, test } from "vitest";
import { formatReport, progressText } from "../../../src/cli/verify.ts";
import { Findings } from "../../../src/verify/finding.ts";
import { resultOf, type VerifyReport } from "../../../src/verify/report.ts";

const STRICT = { ignoreUnseen: false, allowPartial: false };

function report(findings: Findings, more: Partial<VerifyReport> = {}): VerifyReport {
  return {
    stream: "shop",
    result: resultOf(findings, STRICT),
    target: { sequence: 15, endLsn: "0/16B3780", offset: "6" },
    events: 15,
    barriers: 1,
    transactions: 6,
    progressRecords: 4,
    topics: 1,
    partitions: 4,
    provenFrom: 1,
    vectorsFrom: 1,
    database: null,
    findings: findings.kept,
    counts: findings.counts,
    seconds: 0.1,
    ...more,
  };
}

test("a proof says what was proved", () => {
  const tables = [{ table: "public.orders", rows: 7, equal: true }];
  const database = { lsn: "0/16B3748", snapshot: "742:745:743", notYetVisible: 1, tables };
  expect(formatReport(report(new Findings(), { database }))).toBe(
    [
      "Stream shop, verified up to sequence 15 (everything that ends at or below 0/16B3780).",
      "✓ 15 events of 6 transactions in 4 partitions of 1 topic",
      "✓ 4 progress records and their commit vectors",
      "Tables as they were at 0/16B3748 (snapshot 742:745:743):",
      "✓ public.orders: 7 rows, equal",
      "Proven: sequence 1..15 gapless, 1 table equal.",
      "",
    ].join("\n"),
  );
});

test("findings stand with their place, ten of a kind, and nothing that a terminal acts upon", () => {
  const findings = new Findings();
  for (let sequence = 1; sequence <= 250; sequence++) {
    findings.add("SEQUENCE_GAP", `Sequence ${sequence} is in no topic.`, { sequence });
  }
  findings.add("ROW_DIFFERS", 'A row differs in "\u001b[31m".', {
    table: "t",
    topic: "shop.t",
    partition: 2,
    offset: 5n,
  });
  const text = formatReport(report(findings));
  expect(findings.kept).toHaveLength(101);
  expect(text.match(/SEQUENCE_GAP: Sequence/g)).toHaveLength(10);
  expect(text).toContain("✗ 15 events");
  expect(text).toContain("  SEQUENCE_GAP: 240 more");
  expect(text).toContain('A row differs in "\\u001b[31m".\n  → topic shop.t, partition 2, offset 5\n');
  expect(text).toMatch(/Not proven\.\n$/);
});

test("what is unseen or partial fails unless it is let pass; a note never does", () => {
  const [unseen, partial, note] = [new Findings(), new Findings(), new Findings()];
  unseen.add("ROWS_UNSEEN", "…");
  partial.add("HISTORY_TRIMMED", "…");
  note.add("VECTORS_EXPIRED", "…");
  expect([unseen, partial, note].map((findings) => resultOf(findings, STRICT))).toEqual(["wrong", "partial", "proven"]);
  expect(resultOf(unseen, { ...STRICT, ignoreUnseen: true })).toBe("proven");
  expect(resultOf(partial, { ...STRICT, allowPartial: true })).toBe("proven");
  expect(resultOf(unseen, { ...STRICT, allowPartial: true })).toBe("wrong");
});

test("while the stream is read it says how far it is and how long it may take", () => {
  expect(progressText(250_000, 1_000_000, 5_000)).toBe(
    "verified sequence 250000 of 1000000 (25 %), 50000 a second, about 15 s left",
  );
  expect(progressText(1_000, 1_000_000, 1_000)).toMatch(/\(0 %\), 1000 a second, about 16 min 39 s left$/);
  expect(progressText(0, 0, 0)).toMatch(/\(100 %\), 0 a second, about 0 s left$/);
});
