// Which servers can leave out what came by replication.
import { expect, test } from "vitest";
import { judgeOrigin } from "../../../src/source/origin.ts";

test.each([
  ["any", 150_013, []],
  ["any", 180_000, []],
  ["none", 160_000, ["ok"]],
  ["none", 180_004, ["ok"]],
  ["none", 150_013, ["error"]],
] as const)("origin %s on %i: %j", (origin, version, severities) => {
  const findings = judgeOrigin(origin, version);
  expect(findings.map(({ severity }) => severity)).toEqual(severities);
  expect(findings.every(({ code }) => code === "ORIGIN_UNSUPPORTED")).toBe(true);
});
