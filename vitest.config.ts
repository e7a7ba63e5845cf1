// Four projects, one after the other: `unit` needs nothing but Node; `servers` gets a Postgres and a Kafka that are started
// once per run, and runs two files at a time; `timing` and `torture` have the machine to themselves, as their bounds on
// time suppose.
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The longest file begins first, so that none is left to run alone at the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isLongest = ({ moduleId }: TestSpecification) => moduleId.endsWith("/fault/failpoints.test.ts");
    const sorted = await super.sort(files);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

const SHORT_RUN = "test/torture/short-run.test.ts";

export default defineConfig({
  test: {
    // kafkajs asks for timers of negative length, which is harmless.
    execArgv: ["--disable-warning=TimeoutNegativeWarning", "--disable-warning=ExperimentalWarning"],
    sequence: { sequencer: LongestFirst },
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
          exclude: [SHORT_RUN],
          globalSetup: "test/support/global-setup.ts",
          // Bounds, not claims: a busy machine may take many times as long as an idle one.
          testTimeout: 240_000,
          hookTimeout: 240_000,
          expect: { poll: { timeout: 60_000 } },
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "timing",
          include: ["test/timing/**/*.test.ts"],
          globalSetup: "test/support/global-setup.ts",
          testTimeout: 240_000,
          hookTimeout: 240_000,
          expect: { poll: { timeout: 60_000 } },
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "torture",
          include: [SHORT_RUN],
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
