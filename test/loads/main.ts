// Run by hand: `node test/loads/main.ts [--full] [--keep-going-after-kills N] FILE.sql[,FILE.sql…]…`. Runs SQL files by psql
// against a database that a stream captures meanwhile, those of one argument at a time side by side, then compares the
// folded topics with the tables.
//   --full      a table without a primary key gets REPLICA IDENTITY FULL when it is made
//   --kills N   kills the daemon with SIGKILL, and starts it again, N times meanwhile
//   --database NAME   its name, `loads` by default
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import pg from "pg";
import { startServers } from "../../dev/servers/servers.ts";
import { type SpawnedDaemon, spawnCli } from "../support/daemon.ts";
import { foldStream } from "../support/folded-stream.ts";
import { compareTables } from "../support/table-comparison.ts";
import { waitFor } from "../support/wait-for.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    full: { type: "boolean", default: false },
    kills: { type: "string", default: "0" },
    database: { type: "string", default: "loads" },
    tables: { type: "string", default: "*.*" },
  },
});

const FULL = `
  CREATE SCHEMA loads_full;
  CREATE FUNCTION loads_full.give() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
  DECLARE made record;
  BEGIN
    FOR made IN SELECT c.oid FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid
                 WHERE d.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND c.relreplident = 'd'
                   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)
    LOOP
      EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', made.oid::regclass);
    END LOOP;
  EXCEPTION WHEN OTHERS THEN NULL;
  END $$;
  CREATE EVENT TRIGGER loads_full ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
    EXECUTE FUNCTION loads_full.give();`;

const folder = mkdtempSync(join(tmpdir(), "loads-"));
const servers = await startServers({ own: true });
const url = new URL(servers.postgresUrl);
const root = new pg.Client({ connectionString: url.href });
await root.connect();
await root.query(`CREATE DATABASE ${values.database} TEMPLATE template0`);
await root.end();
url.pathname = `/${values.database}`;
if (values.full) await ask(FULL);
const env = {
  AFTERIMAGE_STREAM: "loads",
  AFTERIMAGE_POSTGRES_URL: url.href,
  AFTERIMAGE_KAFKA_BROKERS: servers.brokers.join(","),
  AFTERIMAGE_TABLES: values.tables,
  AFTERIMAGE_ADMIN_PORT: "0",
};
let daemon: SpawnedDaemon = spawnCli(["start"], env);
const daemons = [daemon];
const said = () => daemons.map((one) => one.output()).join("");
let failed = true;
try {
  await daemon.says(/"state":"(streaming|snapshotting)"/);
  const began = Date.now();
  const kills = killSometimes(Number(values.kills));
  for (const group of positionals) {
    await Promise.all(group.split(",").map((file) => psql(file)));
    if (daemon.child.exitCode !== null) break;
    await ask("SELECT 1");
  }
  console.log(`loaded in ${Date.now() - began} ms`);
  await kills;
  await reached();
  failed = await judge();
} catch (error) {
  console.log(error);
} finally {
  appendFileSync(join(folder, "daemon.log"), said());
  console.log(`${failed ? "DIFFERENT" : "equal"}; logs in ${folder}`);
  await daemon.kill(daemon.child.exitCode === null ? "SIGTERM" : undefined);
  await servers.stop();
  process.exitCode = failed ? 1 : 0;
}

/** Over a connection of its own: what is run may make the server restart. */
async function ask(text: string, parameters?: string[]): Promise<pg.QueryResult> {
  const client = await waitFor(
    async () => {
      const one = new pg.Client({ connectionString: url.href });
      one.on("error", () => undefined);
      return one.connect().then(
        () => one,
        () => null,
      );
    },
    { what: "the server" },
  );
  try {
    return await client.query(text, parameters);
  } finally {
    await client.end();
  }
}

function psql(file: string): Promise<void> {
  const log = join(folder, `${basename(file)}.out`);
  const child = spawn("psql", [url.href, "-X", "-q", "-a", "-v", "HIDE_TABLEAM=on", "-f", file], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 45_000);
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => appendFileSync(log, text));
  return new Promise((resolve) => {
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      if (code !== 0) console.log(`${file}: psql ended with ${code ?? signal}`);
      resolve();
    });
  });
}

async function killSometimes(times: number): Promise<void> {
  for (let each = 0; each < times; each++) {
    await sleep(3_000 + Math.random() * 4_000);
    if (daemon.child.exitCode !== null) return;
    await daemon.kill();
    daemon = spawnCli(["start"], env);
    daemons.push(daemon);
  }
}

/** All that is committed is published, new tables are taken up, and no table is being read. */
async function reached(): Promise<void> {
  for (let calm = 0; calm < 3; calm++) {
    await ask("SELECT pg_current_xact_id()");
    const target = (await ask("SELECT pg_current_wal_insert_lsn()::text AS lsn")).rows[0].lsn;
    await waitFor(
      async () => {
        if (daemon.child.exitCode !== null) throw new Error(`The daemon has ended: ${daemon.output().slice(-3000)}`);
        const { rows } = await ask(
          "SELECT confirmed_flush_lsn >= $1::pg_lsn AS done FROM pg_replication_slots WHERE slot_name = 'afterimage_loads'",
          [target],
        );
        return rows[0].done === true;
      },
      { what: `everything up to ${target}`, timeout: 240_000 },
    );
    await waitFor(async () => !(await status()).includes('"state":"snapshotting"'), {
      what: "the snapshots to end",
      timeout: 240_000,
    });
    await sleep(6_000); // twice the catalogue is looked at every five seconds
  }
}

async function status(): Promise<string> {
  const address = [...daemon.output().matchAll(/http:\/\/127\.0\.0\.1:\d+/g)].at(-1)?.[0];
  if (address === undefined) return "";
  return JSON.stringify(await fetch(`${address}/status`).then((answer) => answer.json()));
}

async function judge(): Promise<boolean> {
  const folded = await foldStream(servers.brokers, "loads");
  const { equal, different, left, rows } = await compareTables(url.href, "afterimage_loads", folded);
  console.log(`sequence 1..${folded.sequence}, ${folded.tables.size} tables in topics, faults ${folded.faults.length}`);
  for (const fault of folded.faults.slice(0, 20)) console.log(`  fault ${fault}`);
  console.log(`equal ${equal.length}, different ${different.length}, not published ${left.length}, rows ${rows}`);
  for (const one of different) console.log(`  DIFFERENT ${one}`);
  console.log(`  not published: ${left.join(" ")}`);
  const verify = spawnCli(["verify", "--against-database"], env);
  const { code } = await verify.exited({ timeout: 240_000 });
  console.log(`verify: ${code}\n${verify.output().slice(0, 6000)}`);
  return folded.faults.length > 0 || different.length > 0;
}
