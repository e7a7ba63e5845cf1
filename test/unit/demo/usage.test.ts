// The demo called wrongly: one message, no stack.
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { spawnNode } from "../../support/daemon.ts";

const DEMO = fileURLToPath(new URL("../../../dev/demo/main.ts", import.meta.url));

test.each(["--chek", "check"])("%s", async (argument) => {
  const demo = spawnNode(DEMO, [argument]);
  expect(await demo.exited()).toEqual({ code: 2, signal: null });
  expect(demo.output()).toBe("USAGE: The demo takes --check and nothing else.\n  → npm run demo -- --check\n");
});
