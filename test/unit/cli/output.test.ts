// What `status`, `doctor` and `drop` print, and the readable form of the log.
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { describeUp } from "../../../src/cli/detach.ts";
import { formatFindings } from "../../../src/cli/doctor.ts";
import { describePlan } from "../../../src/cli/drop.ts";
import { formatLine } from "../../../src/cli/logger.ts";
import { formatAge, formatStatus } from "../../../src/cli/status.ts";
import type { DaemonStatus } from "../../../src/daemon/status.ts";
import { inTurn, note, ok, problem, remedy, restart, shell, sql, warning } from "../../../src/source/finding.ts";

const plain = new PassThrough() as unknown as NodeJS.WriteStream;

const STATUS: DaemonStatus = {
  version: "0.1.0",
  pid: 42,
  stream: "shop",
  state: "streaming",
  since: "2026-11-22T18:00:00.000Z",
  position: {
    epoch: 1,
    sequence: 4711,
    endLsn: "0/16B3780",
    last: { commitLsn: "0/16B3748", index: 3, timestamp: "2026-11-22T18:00:30.123456Z" },
  },
  lag: { bytes: 1_258_291, seconds: 0.25, retainedBytes: 16_777_216 },
  wal: null,
  eventsPerSecond: 119.6,
  eventsPublished: 4711,
  snapshot: [],
  tables: [
    { table: "public.orders", topic: "shop.public.orders", events: 4000 },
    { table: "public.items", topic: "shop.public.items", events: 711 },
  ],
  messages: null,
  notes: ["Rows older than the slot are not captured."],
  lastError: { code: "KAFKA_UNREACHABLE", message: "No answer.", advice: "Start it.", at: "2026-11-22T18:00:55.000Z" },
  transactions: { published: 30, bytes: 1_000_000, seconds: 0.2 },
  errors: [],
  errorCounts: {},
  walGuard: { warn: 1024, alert: 2048, giveUp: null },
  standbyDaemons: 0,
};

test("a stream that captures no table says so", () => {
  const idle = { ...STATUS, tables: [] };
  expect(formatStatus(idle, 0, plain)).toContain("\ntables      none is captured\n");
  expect(describeUp(idle, "process 42")).toMatch(
    /^Stream shop is streaming \(process 42\)\.\nTABLES_MATCH_NOTHING: .*\n {2}→ /,
  );
  expect(describeUp(STATUS, "process 42")).toBe("Stream shop is streaming (process 42).\n");
  expect(describeUp({ ...idle, state: "standby" }, "process 42")).toBe("Stream shop is standby (process 42).\n");
});

test("status", () => {
  expect(formatStatus(STATUS, Date.parse("2026-11-22T18:01:00Z"), plain)).toBe(
    `stream      shop (afterimage 0.1.0, process 42)
state       streaming for 60 s
position    sequence 4711, everything up to 0/16B3780, last commit 2026-11-22T18:00:30.123456Z
lag         1.2 MiB of WAL, 0.3 s, the slot keeps 16.0 MiB
events      120 a second, 4711 since the start
tables      public.orders → shop.public.orders
            public.items → shop.public.items
notes       Rows older than the slot are not captured.
last error  KAFKA_UNREACHABLE: No answer. (5 s ago)
            → Start it.
`,
  );
});

test("status of a stream that publishes messages, and of a daemon that tells of none", () => {
  const messages = { topic: "shop.messages", published: 12, notTransactional: 3 };
  const all = formatStatus({ ...STATUS, messages }, 0, plain);
  expect(all).toContain(
    "\nmessages    → shop.messages, 12 since the start, 3 were not transactional and are not published\nnotes",
  );
  const whole = formatStatus({ ...STATUS, messages: { ...messages, notTransactional: 0 } }, 0, plain);
  expect(whole).toContain("\nmessages    → shop.messages, 12 since the start\nnotes");
  const { messages: _, ...earlier } = STATUS;
  expect(formatStatus(earlier as DaemonStatus, 0, plain)).not.toContain("messages");
});

test("status before anything is known", () => {
  const unknown = {
    ...STATUS,
    position: null,
    lag: { bytes: null, seconds: null, retainedBytes: null },
    tables: [],
    notes: [],
    lastError: null,
  };
  const text = formatStatus(unknown, Date.parse(STATUS.since), plain);
  expect(text).toContain("position    not known yet\nlag         unknown, unknown time\n");
});

test("ages", () => {
  expect([5_000, 119_000, 300_000, 7_200_000, 200_000_000].map(formatAge)).toEqual([
    "5 s",
    "119 s",
    "5 min",
    "2 h",
    "2 days",
  ]);
});

test("findings", () => {
  const findings = [
    ok("A", "fine"),
    note("N", "So it is.", "Leave it."),
    warning("B", "Odd.", "Look."),
    problem("C", "Bad.", "Mend."),
  ];
  expect(formatFindings(findings, plain)).toBe(
    "✓ fine\n· N: So it is.\n  → Leave it.\n! B: Odd.\n  → Look.\n✗ C: Bad.\n  → Mend.\n1 error to mend before a start, 1 warning.\n",
  );
  expect(formatFindings(findings.slice(0, 3), plain)).toContain("Ready to start, with 1 warning.");
});

test("each step of a remedy stands on a line of its own, and in the sentence that a halt prints", () => {
  const found = problem(
    "A",
    "Bad.",
    remedy`First: ${sql("SELECT 1;")} then restart ${restart("Postgres")}. ${shell("ls")}, or not.`,
  );
  expect(found.remedy).toBe("First: SELECT 1; then restart Postgres. ls, or not.");
  expect(found.steps).toEqual([sql("SELECT 1;"), restart("Postgres"), shell("ls")]);
  expect(formatFindings([found], plain)).toContain(
    "  → First:\n    SELECT 1;\n    then restart Postgres.\n    ls\n    or not.\n",
  );
  const alone = problem("A", "Bad.", inTurn([sql('ALTER TABLE "a\u001b[2J" …;')]));
  expect(formatFindings([alone], plain)).toContain('  → ALTER TABLE "a\\u001b[2J" …;\n');
});

test("what a drop would remove", () => {
  const plan = {
    slot: { name: "s", retainedBytes: 2048 },
    publication: "p",
    foreignPublication: null,
    topics: ["shop.t"],
  };
  expect(describePlan("shop", plan, true)).toBe(
    "To remove of stream shop:\n  replication slot s, which keeps 2.0 KiB of WAL on the server\n  publication p\n  topic shop.t with all its events\n",
  );
  const gone = { slot: null, publication: null, foreignPublication: "theirs", topics: [] };
  expect(describePlan("shop", gone, false)).toContain("not publication theirs");
});

test("a log line", () => {
  const line = '{"level":"info","time":"2026-11-22T18:00:00.123Z","msg":"streaming","table":"public.t","n":[1]}';
  expect(formatLine(line, plain)).toBe("18:00:00.123 info  streaming table=public.t n=[1]\n");
});
