// Rights and passwords that are taken away from a daemon that runs: it loses nothing, ends nothing, and goes on when it has
// them again, a new password from its file included.
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, inject, onTestFinished, test } from "vitest";
import { startKafkaCluster } from "../../dev/servers/kafka-cluster.ts";
import { parseLsn } from "../../src/event/lsn.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { kafkaClient, makeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let stream: CapturedStream | undefined;
afterEach(() => stream?.drop());

const TABLE = "CREATE TABLE t (id int PRIMARY KEY)";
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

test("Postgres's password is changed: the daemon backs off, and takes the new one from its file", async () => {
  const captured = await CapturedStream.create(TABLE);
  stream = captured;
  await captured.daemon.kill("SIGTERM");
  const folder = await mkdtemp(join(tmpdir(), "afterimage-password-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "password");
  const role = `rotated_${captured.stream}`;
  await writeFile(file, "first\n");
  await captured.sql(`CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD 'first'`);
  const url = new URL(captured.database.url);
  [url.username, url.password] = [role, ""];
  const daemon = await captured.start({ AFTERIMAGE_POSTGRES_URL: url.href, AFTERIMAGE_POSTGRES_PASSWORD_FILE: file });
  try {
    await captured.sql("INSERT INTO t SELECT generate_series(1, 100)");
    await captured.published();
    await captured.sql(`ALTER ROLE ${role} PASSWORD 'canary, % @'`);
    await captured.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", [role]);
    await captured.sql("INSERT INTO t SELECT generate_series(101, 200)");
    await daemon.says('"code":"POSTGRES_AUTHENTICATION_FAILED"');
    await rm(file); // as a mounted secret is, for a moment
    await daemon.says('"code":"CONFIG_FILE_UNREADABLE"');
    await writeFile(`${file}.new`, "canary, % @\n");
    await rename(`${file}.new`, file);
    expect((await captured.events()).map(({ key }) => key?.id)).toEqual(numbers(1, 200));
    expect(daemon.output()).not.toContain("canary");
  } finally {
    await daemon.kill();
    await captured.sql(`DROP ROLE ${role}`);
  }
});

// Numbers of the protocol: org.apache.kafka.common.acl and resource.
const TOPIC = 2;
const [LITERAL, PREFIXED] = [3, 4];
const ANY = 1;
const [READ, WRITE, DESCRIBE] = [3, 4, 8];
const [DENY, ALLOW] = [2, 3];

test("the right to write to a topic, then any right to the stream's topics, is taken away and given back; one to another's topic matters to no start", async () => {
  const cluster = await startKafkaCluster({
    nodes: 1,
    properties: {
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      "allow.everyone.if.no.acl.found": "true",
    },
  });
  onTestFinished(() => cluster.remove());
  const servers = { postgresUrl: inject("postgresUrl"), brokers: cluster.brokers };
  const captured = await CapturedStream.create(TABLE, {}, servers);
  stream = captured;
  const admin = kafkaClient(cluster.brokers).admin();
  await admin.connect();
  onTestFinished(() => admin.disconnect());
  const { daemon } = captured;
  /** The controller answers first; the broker, whose answer this is, learns of it a moment later. */
  const known = async (of: { resourceType: number; resourceName: string; resourcePatternType: number }) =>
    (await admin.describeAcls({ ...of, operation: ANY, permissionType: ANY })).resources.length;
  const said = (code: string) => daemon.output().split(`"code":"${code}"`).length - 1;
  let last = 0;
  for (const [resourceName, resourcePatternType] of [
    [`${captured.stream}.public.t`, LITERAL],
    [`${captured.stream}.`, PREFIXED],
  ] as const) {
    await captured.sql(`INSERT INTO t SELECT generate_series(${last + 1}, ${last + 100})`);
    await captured.published();
    const refused = said("KAFKA_NOT_AUTHORIZED");
    const of = { resourceType: TOPIC, resourceName, resourcePatternType };
    const denied = { principal: "User:ANONYMOUS", host: "*", operation: WRITE, permissionType: DENY };
    await admin.createAcls({ acl: [{ ...of, ...denied }] });
    await waitFor(async () => (await known(of)) === 1, { what: "the broker to know of it" });
    const { rows } = await captured.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn");
    await captured.sql(`INSERT INTO t SELECT generate_series(${last + 101}, ${last + 200})`);
    await waitFor(() => said("KAFKA_NOT_AUTHORIZED") > refused, { what: "the refusal" });
    expect(await captured.confirmedFlushLsn()).toBeLessThanOrEqual(parseLsn(String(rows[0]!.lsn)));
    await admin.deleteAcls({ filters: [{ ...of, operation: ANY, permissionType: ANY }] });
    await captured.published();
    last += 200;
  }
  expect((await captured.events()).map(({ key }) => key?.id)).toEqual(numbers(1, 400));
  expect((await captured.stored()).map(({ event }) => event.sequence)).toEqual(numbers(1, 400));

  // A topic that is only called like the stream's: it may not be read, and is held by an open transaction.
  await daemon.kill();
  const resourceName = `${captured.stream}.theirs`;
  await makeTopics(cluster.brokers, [{ topic: resourceName, numPartitions: 1 }]);
  const producer = kafkaClient(cluster.brokers).producer({ transactionalId: resourceName, maxInFlightRequests: 1 });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic: resourceName, messages: [{ key: "x", value: "theirs" }] });
  const theirs = { resourceType: TOPIC, resourceName, resourcePatternType: LITERAL };
  const everyone = { ...theirs, principal: "User:ANONYMOUS", host: "*" };
  await admin.createAcls({ acl: [{ ...everyone, operation: DESCRIBE, permissionType: ALLOW }] });
  await admin.createAcls({ acl: [{ ...everyone, operation: READ, permissionType: DENY }] });
  const any = { ...theirs, operation: ANY, permissionType: ANY };
  await waitFor(async () => (await admin.describeAcls(any)).resources[0]?.acls.length === 2, {
    what: "the broker to know of both",
  });
  await captured.start();
  await captured.sql("INSERT INTO t VALUES (401)");
  await captured.published();
  await transaction.abort();
  await producer.disconnect();
});
