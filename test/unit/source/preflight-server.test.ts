// The server's facts and what is made of them: each limit, each hosting's own remedy.
import { expect, test } from "vitest";
import { judgeRefusedCommand, judgeServer, type ServerFacts } from "../../../src/source/preflight-server.ts";
import type { SlotFacts } from "../../../src/source/preflight-slot.ts";

const FINE: ServerFacts = {
  version: 180_004,
  walLevel: "logical",
  encoding: "UTF8",
  inRecovery: false,
  slots: 1,
  maxSlots: 10,
  walsenders: 1,
  maxWalsenders: 10,
  database: "shop",
  slot: null,
  hosting: "own",
  proxied: false,
};

const slot = (change: Partial<SlotFacts>): SlotFacts => ({
  plugin: "pgoutput",
  database: "shop",
  walStatus: "reserved",
  invalidation: null,
  retainedBytes: 0,
  safeBytes: null,
  active: null,
  failover: false,
  twoPhase: false,
  ...change,
});

const bad = (facts: Partial<ServerFacts>) =>
  judgeServer({ ...FINE, ...facts }, "afterimage_shop", "shop").filter(({ severity }) => severity !== "ok");

test("a fit server", () => {
  expect(bad({})).toEqual([]);
});

test.each([
  [{ walLevel: "replica" }, "WAL_LEVEL", "ALTER SYSTEM SET wal_level = logical;"],
  [{ walLevel: "replica", hosting: "rds" }, "WAL_LEVEL", "rds.logical_replication"],
  [{ walLevel: "replica", hosting: "cloudsql" }, "WAL_LEVEL", "cloudsql.logical_decoding"],
  [{ walLevel: "replica", hosting: "azure" }, "WAL_LEVEL", "server parameter wal_level"],
  [{ slots: 10 }, "SLOTS_EXHAUSTED", "max_replication_slots = 20"],
  [{ maxSlots: 0, slots: 0 }, "SLOTS_EXHAUSTED", "max_replication_slots = 10"],
  [{ walsenders: 10 }, "WALSENDERS_EXHAUSTED", "max_wal_senders = 20"],
  [{ inRecovery: true }, "POSTGRES_IN_RECOVERY", "primary"],
  [{ encoding: "SQL_ASCII" }, "POSTGRES_ENCODING", "UTF8"],
  [{ version: 140_010 }, "POSTGRES_VERSION", "Upgrade"],
  [{ version: 170_004 }, "POSTGRES_MINOR", "17.5"],
  [{ slot: slot({ plugin: "wal2json" }) }, "SLOT_FOREIGN", "postgres.slot"],
  [{ slot: slot({ database: "other" }) }, "SLOT_FOREIGN", "postgres.slot"],
  [{ slot: slot({ walStatus: "lost" }) }, "SLOT_LOST", "start --new-epoch"],
  [{ slot: slot({ twoPhase: true }) }, "SLOT_TWO_PHASE", "postgres.slot"],
] as [Partial<ServerFacts>, string, string][])("%j: %s", (facts, code, remedy) => {
  const findings = bad(facts);
  expect(findings.map((finding) => finding.code)).toEqual([code]);
  expect(findings[0]!.remedy).toContain(remedy);
});

test("our own slot needs no free one", () => {
  expect(bad({ slots: 10, slot: slot({}) })).toEqual([]);
});

test.each([
  ["a server that shuts down", "57P01", "POSTGRES_UNREACHABLE"],
  ["a server that is not up yet", "57P03", "POSTGRES_UNREACHABLE"],
  ["a broken connection", "ECONNRESET", "POSTGRES_UNREACHABLE"],
  ["a connection that ends without a word", undefined, "POSTGRES_UNREACHABLE"],
  ["a backend that takes the command for SQL", "42601", "POSTGRES_POOLER"],
  ["a pooler that doesn't know it", "08P01", "POSTGRES_POOLER"],
])("IDENTIFY_SYSTEM fails: %s", (_, code, expected) => {
  const error = Object.assign(new Error("said"), code === undefined ? {} : { code });
  expect(judgeRefusedCommand({ url: "postgres://u:s3cr3t@h/d" }, error)).toMatchObject({ code: expected });
});
