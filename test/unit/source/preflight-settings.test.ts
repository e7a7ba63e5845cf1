// Settings that end a stream later: each bound, and what can't be brought about on a server in a test.
import { expect, test } from "vitest";
import { judgeSettings, type SettingFacts } from "../../../src/source/preflight-settings.ts";
import { judgeSlot, type SlotFacts } from "../../../src/source/preflight-slot.ts";

const FINE: SettingFacts = {
  maxSlotWalKeepSize: 65_536,
  walKeepSize: 0,
  maxWalSize: 1024,
  walSenderTimeout: 60_000,
  walSenderTimeoutSource: "default",
  idleSlotTimeout: null,
  synchronizedStandbySlots: "",
  user: "cdc",
  database: "shop",
  connectionLimit: -1,
  validForDays: null,
  physicalSlots: {},
  blockers: [],
};
const TARGET = { slot: "s", hasSlot: false, failover: false, connections: 9 };

const judge = (facts: Partial<SettingFacts>, target: Partial<typeof TARGET> = {}) =>
  judgeSettings({ ...FINE, ...facts }, { ...TARGET, ...target }).map(({ code, severity }) => `${severity} ${code}`);

test.each([
  [{}, []],
  [{ maxSlotWalKeepSize: -1 }, ["note SLOT_WAL_UNBOUNDED"]],
  [{ maxSlotWalKeepSize: 64 }, ["warning SLOT_WAL_SHORT"]],
  // The server keeps the larger of the two.
  [{ maxSlotWalKeepSize: 64, walKeepSize: 2048 }, []],
  [{ walSenderTimeout: 0 }, ["warning SENDER_TIMEOUT"]],
  [{ walSenderTimeout: 4999 }, ["warning SENDER_TIMEOUT"]],
  [{ walSenderTimeout: 5000 }, []],
  [{ idleSlotTimeout: "1d" }, ["warning SLOT_IDLE_TIMEOUT"]],
  [{ connectionLimit: 8 }, ["warning ROLE_CONNECTIONS"]],
  [{ connectionLimit: 9 }, []],
  [{ validForDays: 13.9 }, ["warning ROLE_EXPIRES"]],
  [{ validForDays: 14 }, []],
  [{ synchronizedStandbySlots: "a, b", physicalSlots: { a: true, b: false } }, ["warning STANDBY_SLOT_STALE"]],
  [{ synchronizedStandbySlots: '"a"', physicalSlots: { a: true } }, ["note SLOT_NO_FAILOVER"]],
] as [Partial<SettingFacts>, string[]][])("%j: %j", (facts, found) => {
  expect(judge(facts)).toEqual(found);
});

test("a slot that can fail over, and one that is made already", () => {
  expect(judge({ synchronizedStandbySlots: "a", physicalSlots: { a: true } }, { failover: true })).toEqual([]);
  const blockers = [{ pid: 7, prepared: null, since: "yesterday" }];
  expect(judge({ blockers })).toEqual(["warning SLOT_BLOCKED"]);
  expect(judge({ blockers }, { hasSlot: true })).toEqual([]);
});

test("standbys that are there stay named in the remedy", () => {
  const facts = { ...FINE, synchronizedStandbySlots: "a, gone, b", physicalSlots: { a: true, b: true } };
  const [finding] = judgeSettings(facts, TARGET);
  expect(finding!.steps[0]!.text).toBe("ALTER SYSTEM SET synchronized_standby_slots = 'a, b';");
});

const SLOT: SlotFacts = {
  plugin: "pgoutput",
  database: "shop",
  walStatus: "reserved",
  invalidation: null,
  retainedBytes: 0,
  safeBytes: null,
  active: null,
  failover: false,
  twoPhase: false,
};
const judgeOne = (facts: Partial<SlotFacts>) =>
  judgeSlot({ ...SLOT, ...facts }, { name: "s", stream: "shop", database: "shop" }).filter(
    ({ severity }) => severity !== "ok",
  );

test.each([
  [{}, []],
  [{ active: { pid: 1, application: "afterimage shop replication" } }, []],
  [{ active: { pid: 1, application: "pg_recvlogical" } }, ["SLOT_IN_USE"]],
  [{ retainedBytes: 5 * 1024 ** 3 }, ["SLOT_RETAINS"]],
  [{ retainedBytes: 5 * 1024 ** 3, active: { pid: 1, application: "afterimage shop replication" } }, []],
  [{ walStatus: "unreserved", safeBytes: -1 }, ["SLOT_ENDANGERED"]],
  [{ walStatus: "extended", safeBytes: 1024 }, ["SLOT_ENDANGERED"]],
  [{ walStatus: "lost", invalidation: "idle_timeout" }, ["SLOT_LOST"]],
] as [Partial<SlotFacts>, string[]][])("a slot with %j: %j", (facts, codes) => {
  expect(judgeOne(facts).map(({ code }) => code)).toEqual(codes);
});

test("why a slot was invalidated is told, with what keeps it from happening again", () => {
  const [finding] = judgeOne({ walStatus: "lost", invalidation: "idle_timeout" });
  expect(finding!.what).toContain("(idle_timeout)");
  expect(finding!.remedy).toContain("idle_replication_slot_timeout = 0");
  expect(finding!.steps).toEqual([{ kind: "shell", text: "afterimage drop shop --topics" }]);
});
