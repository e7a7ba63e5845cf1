// Two projects: `unit` needs nothing but Node, `servers` gets a Postgres and a Kafka that are started once per run.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // kafkajs asks for timers of negative length, which is harmless.
    execArgv: ["--disable-warning=TimeoutNegativeWarning", "--disable-warning=ExperimentalWarning"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/{unit,property,golden,rules}/**/*.test.ts", "test/simulation/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: "servers",
          include: ["test/{integration,fault,e2e,torture,simulation/comparison}/**/*.test.ts"],
          globalSetup: "test/support/global-setup.ts",
          // Bounds, not claims: a busy machine may take many times as long as an idle one.
          testTimeout: 240_000,
          hookTimeout: 240_000,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
        },
      },
    ],
  },
});
