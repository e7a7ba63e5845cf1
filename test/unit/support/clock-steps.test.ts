// The module that lets a program's clock jump: forwards and backwards, while everything else about dates stays as it is.
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const MODULE = new URL("../../support/clock-steps.ts", import.meta.url).href;

const run = (program: string, steps?: string) =>
  spawnSync(process.execPath, [`--import=${MODULE}`, "--input-type=module", "-e", program], {
    env: { ...process.env, NODE_OPTIONS: "", ...(steps === undefined ? {} : { CLOCK_STEPS: steps }) },
    encoding: "utf8",
  });

test("the clock jumps a day forth and back, dates with arguments don't move", () => {
  const { stdout, stderr } = run(
    `const seen = new Set();
     const begun = performance.now();
     while (performance.now() - begun < 15000 && seen.size < 3) {
       const days = [Date.now(), new Date().getTime(), Date.parse(Date())].map((ms) => Math.round((ms - ${Date.now()}) / 86400000));
       if (new Set(days).size === 1) seen.add(days[0]);
       await new Promise((resolve) => setTimeout(resolve, 5));
     }
     console.log(JSON.stringify([[...seen].sort(), new Date(0).toISOString(), new Date(2020, 1) instanceof Date, Date.UTC(1970, 0, 2)]));`,
    "86400000,-86400000,0:50",
  );
  expect(JSON.parse(stdout || stderr)).toEqual([[-1, 0, 1], "1970-01-01T00:00:00.000Z", true, 86_400_000]);
});

test.each([undefined, "", "x:5", "1,2", "1:0"])("CLOCK_STEPS=%s ends the program", (steps) => {
  const { status, stderr } = run("", steps ?? "");
  expect([status, stderr]).toEqual([1, expect.stringContaining("CLOCK_STEPS needs the form")]);
});
