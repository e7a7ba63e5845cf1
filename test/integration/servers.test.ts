// The servers of dev/servers: an own one can be killed and started with its data, and none outlives a killed parent.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect, test } from "vitest";
import { createDatabase } from "../../dev/servers/database.ts";
import { freePort, listens } from "../../dev/servers/process.ts";
import { startKafka, startPostgres } from "../../dev/servers/servers.ts";
import { listTopics, makeTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

test("an own Postgres keeps its address and data through kill, immediate and fast stop", async () => {
  const server = await startPostgres();
  try {
    const { url, client } = await createDatabase(server.address, "kept");
    await client.query("CREATE TABLE t (id int PRIMARY KEY)");
    const rows = async () => {
      const reader = new pg.Client({ connectionString: url });
      await reader.connect();
      const { rows } = await reader.query("SELECT count(*)::int AS count, current_setting('wal_level') AS wal FROM t");
      await reader.end();
      return rows[0];
    };
    await client.query("INSERT INTO t VALUES (1)");
    await server.kill();
    expect(await listens(Number(new URL(server.address).port))).toBe(false);
    await server.start();
    expect(await rows()).toEqual({ count: 1, wal: "logical" });
    await server.restart({ mode: "immediate" });
    await server.restart();
    expect(await rows()).toEqual({ count: 1, wal: "logical" });
  } finally {
    await server.remove();
  }
  expect(await listens(Number(new URL(server.address).port))).toBe(false);
});

test("an own Kafka keeps its address and topics through a kill", async () => {
  const server = await startKafka();
  try {
    await makeTopics([server.address], [{ topic: "kept", numPartitions: 1 }]);
    await server.kill();
    await server.start();
    expect(await listTopics([server.address], "kept")).toEqual(["kept"]);
  } finally {
    await server.remove();
  }
});

test("what a guard watches ends with its parent, also when that is killed", async () => {
  const folder = await mkdtemp(join(tmpdir(), "afterimage-guard-"));
  const port = await freePort();
  const server = join(folder, "server.mjs");
  await writeFile(server, `import { createServer } from "node:net"; createServer().listen(${port}, "127.0.0.1");`);
  const parent = join(folder, "parent.mts");
  await writeFile(
    parent,
    `import { spawn } from "node:child_process";
     import { writeFileSync } from "node:fs";
     import { guard } from ${JSON.stringify(new URL("../../dev/servers/process.ts", import.meta.url).href)};
     guard(${JSON.stringify(folder)}, "KILL");
     const child = spawn(process.execPath, [${JSON.stringify(server)}], { detached: true, stdio: "ignore" });
     writeFileSync(${JSON.stringify(join(folder, "server.pid"))}, String(child.pid));
     setInterval(() => {}, 1000);`,
  );
  const child = spawn(process.execPath, [parent], { stdio: "ignore" });
  const pid = () => readFile(join(folder, "server.pid"), "utf8").catch(() => ""); // not written yet
  await waitFor(async () => (await listens(port)) && Number(await pid()) > 1, { what: "the watched server" });
  child.kill("SIGKILL");
  await waitFor(async () => !(await listens(port)) && !existsSync(folder), {
    what: "the guard to end it and clean up",
  });
});
