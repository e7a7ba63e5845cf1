// Names, values, passwords and clocks that somebody means ill with: nothing of them is executed, nothing forges a line, and
// no output holds a secret or a row.
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { freePort } from "../../dev/servers/process.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream;
afterEach(() => stream.drop());

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
/** Red, a forged log line, a terminal's title, a C1 control. */
const EVIL = `\u001b[31mred\r\n{"level":"info","msg":"forged"}\u001b]0;title\u0007\u009b2J`;
/** What a line of output may hold: no control characters but the line breaks that end it. */
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;

test("names that are SQL, JavaScript and escape sequences are names", async () => {
  const table = 'a"; drop table t;--';
  stream = await CapturedStream.create(
    `CREATE TABLE t (id int PRIMARY KEY);
     CREATE TABLE ${quoted(table)} (id int PRIMARY KEY, "__proto__" text, "constructor" text, ${quoted("');process.exit(9)//")} text)`,
  );
  await stream.sql(`INSERT INTO ${quoted(table)} VALUES (1, 'p', 'c', 'x')`);
  await stream.sql("INSERT INTO t VALUES (1)");
  await stream.daemon.kill();
  await stream.start();
  await stream.sql(`UPDATE ${quoted(table)} SET id = 2`);
  const events = await stream.events();
  expect(events.map((event) => [event.table, event.operation])).toEqual([
    ['public."a""; drop table t;--"', "insert"],
    ["public.t", "insert"],
    ['public."a""; drop table t;--"', "delete"],
    ['public."a""; drop table t;--"', "insert"],
  ]);
  const [record] = await stream.stored();
  expect(record!.value).toContain(`"after":{"id":1,"__proto__":"p","constructor":"c","');process.exit(9)//":"x"}`);
  expect(record!.topic).toMatch(/^[\w.-]+$/);
  expect(({} as Record<string, unknown>).p).toBeUndefined();
});

test("escape sequences in names and values reach no terminal: log, status, doctor, tail, errors", async () => {
  const name = `t ${EVIL}`.slice(0, 40);
  stream = await CapturedStream.create(
    `CREATE TABLE ${quoted(name)} (id int PRIMARY KEY, ${quoted(`c${EVIL}`.slice(0, 40))} text)`,
    { AFTERIMAGE_ON_REWRITE: "halt" },
  );
  await stream.daemon.kill("SIGTERM");
  const port = String(await freePort());
  const daemon = stream.spawn({ AFTERIMAGE_LOG_FORMAT: "pretty", AFTERIMAGE_ADMIN_PORT: port });
  const tail = spawnCli(["tail"], { AFTERIMAGE_POSTGRES_URL: stream.database.url });
  const outputs = [daemon, tail];
  const ask = async (command: string) => {
    const asked = stream.ask(command, command === "status" ? { AFTERIMAGE_ADMIN_PORT: port } : {});
    await asked.exited();
    outputs.push(asked);
    return asked.stdout();
  };
  try {
    await daemon.says("state=streaming");
    await tail.says("Showing changes");
    await stream.sql(`INSERT INTO ${quoted(name)} VALUES (1, $1)`, [EVIL]);
    await tail.says("\\u001b[31mred\\u000d\\u000a");
    await waitFor(async () => (await stream.progress())?.sequence === 1, { what: "the event" });
    expect(await ask("status")).toContain("\\u001b[31mred\\u000d\\u000a");
    await ask("doctor");
    // The halt's message has the name too.
    await stream.sql(`ALTER TABLE ${quoted(name)} RENAME TO ${quoted(`u ${EVIL}`.slice(0, 40))}`);
    await daemon.exited();
    await stream.sql(`ALTER TABLE ${quoted(`u ${EVIL}`.slice(0, 40))} REPLICA IDENTITY NOTHING`);
    expect(await ask("doctor")).toContain("TABLE_WITHOUT_IDENTITY");
  } finally {
    await tail.kill("SIGTERM");
    await daemon.kill();
  }
  expect(daemon.output()).toContain("TABLE_RENAMED");
  for (const { output } of outputs) {
    for (const line of output().split("\n")) {
      expect(line).not.toMatch(CONTROLS);
      expect(line.startsWith('{"level"')).toBe(false);
    }
  }
});

test("no output of a whole life holds a password or a row's value", async () => {
  const [word, sasl, value] = ["canary-postgres-4b1d", "canary-kafka-77c2", "canary-value-90fe"];
  const port = String(await freePort());
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY, note text)");
  await stream.daemon.kill("SIGTERM");
  const role = `canary_${stream.stream}`;
  await stream.sql(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${word}'`);
  const url = new URL(stream.database.url);
  [url.username, url.password] = [role, word];
  const settings = { AFTERIMAGE_POSTGRES_URL: url.href, AFTERIMAGE_LOG_LEVEL: "trace", AFTERIMAGE_ADMIN_PORT: port };
  const wrong = new URL(url.href);
  wrong.password = `${word}-wrong`;
  const elsewhere = new URL(url.href);
  elsewhere.port = "1";
  const outputs: SpawnedDaemon[] = [];
  const runs = async (command: string, more: Record<string, string> = {}) => {
    const asked = stream.ask(command, { ...settings, ...more });
    outputs.push(asked);
    await asked.exited();
  };
  try {
    const login = {
      AFTERIMAGE_KAFKA_SASL_MECHANISM: "plain",
      AFTERIMAGE_KAFKA_SASL_USERNAME: "me",
      AFTERIMAGE_KAFKA_SASL_PASSWORD: sasl,
      AFTERIMAGE_STARTUP_WAIT: "1s",
    };
    for (const command of ["start", "doctor"]) {
      await runs(command, { AFTERIMAGE_POSTGRES_URL: wrong.href });
      await runs(command, { AFTERIMAGE_POSTGRES_URL: elsewhere.href, AFTERIMAGE_STARTUP_WAIT: "1s" });
      await runs(command, { AFTERIMAGE_POSTGRES_URL: `${url.href}?sslmode=verify-full` });
      await runs(command, { AFTERIMAGE_POSTGRES_URL: `${url.href}:bad port` });
      await runs(command, login);
    }
    outputs.push(await stream.start(settings));
    await stream.sql(`INSERT INTO t VALUES (1, '${value}')`);
    await stream.published();
    for (const command of ["status", "doctor"]) await runs(command);
    await stream.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", [role]);
    await stream.daemon.says(/"streaming"[\s\S]*"streaming"/);
    await stream.sql(`INSERT INTO t VALUES (2, repeat('${value}', 1000000))`);
    await stream.daemon.exited();
    expect(stream.daemon.output()).toContain("RECORD_TOO_LARGE");
    await runs("doctor");
  } finally {
    await stream.daemon.kill();
    await stream.sql(`DROP ROLE ${role}`);
  }
  expect(outputs.length).toBe(14);
  for (const { output } of outputs) {
    expect(output().length).toBeGreaterThan(0);
    for (const secret of [word, encodeURIComponent(word), sasl, Buffer.from(sasl).toString("base64"), value]) {
      expect(output()).not.toContain(secret);
    }
  }
});

test("a deferrable key is refused before the publication is made, and the application's UPDATE goes on working", async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
  await stream.daemon.kill("SIGTERM");
  await stream.sql(
    "CREATE TABLE moved (id int PRIMARY KEY DEFERRABLE); INSERT INTO moved SELECT generate_series(1, 5)",
  );
  const fresh = `${stream.stream}_b`;
  const refused = stream.spawn({ AFTERIMAGE_STREAM: fresh });
  expect(await refused.exited()).toMatchObject({ code: 4 });
  expect(refused.output()).toContain("KEY_DEFERRABLE");
  await stream.sql("UPDATE moved SET id = id + 1");
  const { rows } = await stream.sql("SELECT FROM pg_publication WHERE pubname = $1", [`afterimage_${fresh}`]);
  expect(rows).toEqual([]);
});

test("a wall clock that jumps by up to a day at every look changes nothing", async () => {
  stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)");
  await stream.daemon.kill("SIGTERM");
  const clock = fileURLToPath(new URL("../support/stepping-clock.ts", import.meta.url));
  const daemon = await stream.start({ NODE_OPTIONS: `--import=${clock}` });
  for (let round = 0; round < 20; round++) {
    await stream.sql(`INSERT INTO t SELECT g FROM generate_series(${round * 10 + 1}, ${round * 10 + 10}) g`);
    await stream.published();
    expect(await stream.confirmedFlushLsn()).toBeLessThanOrEqual((await stream.progress())!.endLsn);
  }
  const second = stream.spawn({ NODE_OPTIONS: `--import=${clock}` });
  try {
    await second.says('"state":"standby"');
    await daemon.kill();
    await second.says('"state":"streaming"');
    await stream.sql("INSERT INTO t VALUES (201)");
    await waitFor(async () => (await stream.progress())?.sequence === 201, { what: "the last event" });
  } finally {
    await second.kill("SIGTERM");
  }
  const stored = (await stream.stored()).map(({ event }) => [event.sequence, event.key?.id]);
  expect(stored).toEqual(Array.from({ length: 201 }, (_, at) => [at + 1, at + 1]));
});
