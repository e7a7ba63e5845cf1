// Which servers can hold the slot in the primary's place.
import { expect, test } from "vitest";
import { judgeStandby, type StandbyFacts } from "../../../src/source/standby.ts";

const STANDBY: StandbyFacts = { inRecovery: true, systemId: "7", database: 5, version: 180_004, feedback: true };

test.each<[string, Partial<StandbyFacts>, string, string]>([
  ["ok", {}, "STANDBY_PROMOTED", ""],
  ["ok", { version: 160_000 }, "STANDBY_PROMOTED", ""],
  ["error", { version: 150_013 }, "STANDBY_UNSUPPORTED", "upgrade Postgres"],
  ["error", { systemId: "8" }, "SERVER_FOREIGN", "a standby of that server"],
  ["error", { database: 6 }, "SERVER_FOREIGN", "the same database"],
  ["error", { inRecovery: false }, "STANDBY_PROMOTED", "into postgres.url"],
  ["error", { feedback: false }, "STANDBY_FEEDBACK", "ALTER SYSTEM SET hot_standby_feedback = on;"],
])("%s for %j: %s", (severity, facts, code, remedy) => {
  const [finding, ...more] = judgeStandby({ ...STANDBY, ...facts }, STANDBY);
  expect(more).toEqual([]);
  expect(finding).toMatchObject({ severity, code, remedy: expect.stringContaining(remedy) });
});
