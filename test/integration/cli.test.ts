// The command line as a user meets it: good and bad configurations, and the life of a daemon.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { freePort } from "../../dev/servers/process.ts";
import { isAlive, readPidFile } from "../../src/daemon/pid-file.ts";
import { type SpawnedDaemon, spawnCli, spawnDaemon } from "../support/daemon.ts";
import { createDatabase, type TestDatabase, uniqueStream } from "../support/database.ts";
import { deleteTopics } from "../support/topics.ts";
import { waitFor } from "../support/wait-for.ts";

let folder: string;
let database: TestDatabase;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "afterimage-cli-"));
  database = await createDatabase();
  await database.client.query("CREATE TABLE products (id int PRIMARY KEY, name text)");
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true });
});

async function run(args: string[], env: Record<string, string> = {}, cwd = folder) {
  const command = spawnCli(args, env, cwd);
  const { code } = await command.exited();
  return { code, stdout: command.stdout(), stderr: command.stderr() };
}

function expectNoStack(text: string): void {
  expect(text).not.toMatch(/^\s+at /m);
  expect(text).not.toContain("node:internal");
}

const SECRET = "s3cr3t-pa55";

/** The daemon's own `0` can't be told to the other commands. */
const adminPort = async () => String(await freePort());

describe("what needs no daemon", () => {
  test("help and version", async () => {
    for (const args of [[], ["--help"], ["start", "--help"], ["help", "drop"]]) {
      const { code, stdout, stderr } = await run(args);
      expect(code).toBe(0);
      expect(stdout).toContain("Usage: afterimage");
      expect(stderr).toBe("");
    }
    expect((await run(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test("help is quick: it loads no library but commander", async () => {
    const hook = `import { registerHooks } from "node:module";
      registerHooks({ load(url, context, next) { process._rawDebug(url); return next(url, context); } });`;
    const { code, stderr } = await run(["--help"], {
      NODE_OPTIONS: `--import "data:text/javascript,${encodeURIComponent(hook)}"`,
    });
    expect(code).toBe(0);
    const packages = [...stderr.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].map((match) => match[1]);
    expect([...new Set(packages)]).toEqual(["commander"]);
  });

  test.each([
    [["strat"], "USAGE: unknown command 'strat'\n(Did you mean start?)\n  → afterimage --help lists"],
    [["start", "--strem", "x"], "'--strem'\n(Did you mean --stream?)\n  → afterimage start --help"],
    [["drop"], "USAGE: missing required argument 'stream'\n  → afterimage drop --help"],
  ])("%j", async (args, text) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expectNoStack(stderr);
  });

  test("no daemon: status and stop say so", async () => {
    for (const name of ["status", "stop"]) {
      const { code, stderr } = await run([name, "--admin-port", await adminPort()]);
      expect(code).toBe(5);
      expect(stderr).toMatch(/^NOT_RUNNING: .*\n {2}→ .*\n$/);
    }
  });
});

describe("bad configurations end in one clear message", () => {
  const url = () => {
    const address = new URL(database.url);
    address.password = SECRET;
    return address;
  };
  const env = (change: Record<string, string> = {}) => ({
    AFTERIMAGE_STREAM: "clitest",
    AFTERIMAGE_POSTGRES_URL: url().href,
    AFTERIMAGE_KAFKA_BROKERS: inject("brokers").join(","),
    AFTERIMAGE_ADMIN_PORT: "0",
    AFTERIMAGE_STARTUP_WAIT: "0ms",
    ...change,
  });
  const file = (text: string) => {
    const path = join(folder, "bad.yaml");
    writeFileSync(path, text);
    return path;
  };
  const other = (change: (url: URL) => void): string => {
    const address = url();
    change(address);
    return address.href;
  };

  const cases: [string, () => [string[], Record<string, string>], string, number][] = [
    ["an unknown key", () => [["--config", file("stream: x\ntabels: []\n")], env()], "CONFIG_UNKNOWN_KEY", 2],
    ["a wrong type", () => [[], env({ AFTERIMAGE_KAFKA_PARTITIONS: "many" })], "CONFIG_INVALID", 2],
    ["a YAML mistake", () => [["--config", file(`postgres: { url: "${SECRET}`)], env()], "CONFIG_SYNTAX", 2],
    ["nothing set", () => [[], {}], "CONFIG_MISSING", 2],
    [
      "an unreachable host",
      () => [[], env({ AFTERIMAGE_POSTGRES_URL: other((each) => Object.assign(each, { port: "1" })) })],
      "POSTGRES_UNREACHABLE",
      3,
    ],
    [
      "a host that isn't there",
      () => [
        [],
        env({ AFTERIMAGE_POSTGRES_URL: other((each) => Object.assign(each, { hostname: "nowhere.invalid" })) }),
      ],
      "POSTGRES_UNREACHABLE",
      3,
    ],
    [
      "a wrong user",
      () => [[], env({ AFTERIMAGE_POSTGRES_URL: other((each) => Object.assign(each, { username: "nobody_here" })) })],
      "POSTGRES_AUTHENTICATION_FAILED",
      4,
    ],
    [
      "a wrong database",
      // With the right password: a server that asks for it tells of the database only after that.
      () => [[], env({ AFTERIMAGE_POSTGRES_URL: Object.assign(new URL(database.url), { pathname: "/none" }).href })],
      "POSTGRES_DATABASE_MISSING",
      4,
    ],
  ];

  test.each(cases)("%s", async (_, make, code, exit) => {
    const [args, variables] = make();
    const { code: exitCode, stderr, stdout } = await run(["start", ...args], variables);
    expect(stderr).toContain(`${code}: `);
    expect(stderr).toMatch(/\n {2}→ .+\n$/);
    expect(stderr.match(/^ {2}→ /gm)).toHaveLength(1);
    expectNoStack(stderr + stdout);
    expect(stderr + stdout).not.toContain(SECRET);
    expect(exitCode).toBe(exit);
  });

  test("an unreachable broker", async () => {
    const variables = env({ AFTERIMAGE_POSTGRES_URL: database.url, AFTERIMAGE_KAFKA_BROKERS: "127.0.0.1:1" });
    const { code, stderr, stdout } = await run(["start"], variables);
    expect(stderr).toContain("KAFKA_UNREACHABLE: ");
    expectNoStack(stderr + stdout);
    expect(code).toBe(3);
  });
});

describe("the life of a daemon", () => {
  let stream: string;
  let flags: string[];
  let where: string[];
  const started: SpawnedDaemon[] = [];

  beforeEach(async () => {
    stream = uniqueStream();
    where = ["--stream", stream, "--admin-port", await adminPort(), "--pid-file", join(folder, `${stream}.pid`)];
    flags = [...where, "--postgres", database.url, "--kafka", inject("brokers").join(",")];
  });
  afterEach(async () => {
    for (const daemon of started.splice(0)) await daemon.kill("SIGKILL");
    const pid = readPidFile(join(folder, `${stream}.pid`))?.pid;
    if (pid !== undefined && isAlive(pid)) process.kill(pid, "SIGKILL");
    await waitFor(() => pid === undefined || !isAlive(pid), { what: "the end of the daemon" });
    await run([
      "drop",
      stream,
      "--topics",
      "--yes",
      "--postgres",
      database.url,
      "--kafka",
      inject("brokers").join(","),
    ]);
    await deleteTopics(inject("brokers"), `${stream}.`);
  });

  test("start in the foreground, status, stop", async () => {
    const daemon = spawnDaemon(flags);
    started.push(daemon);
    await daemon.says('"state":"streaming"');
    await database.client.query("INSERT INTO products SELECT g, 'a name' FROM generate_series(1, 100) g");
    await waitFor(
      async () => {
        const { stdout } = await run(["status", "--json", ...where]);
        return JSON.parse(stdout).position?.sequence === 100;
      },
      { what: "100 events in status" },
    );
    const text = await run(["status", ...where]);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/state {7}streaming for /);
    expect(text.stdout).toContain(`public.products → ${stream}.public.products`);
    const wrong = await run(["stop", ...where, "--stream", "another"]);
    expect(wrong.code).toBe(5);
    expect(wrong.stderr).toContain(`runs the stream ${stream}, not another`);
    const stopped = await run(["stop", ...where]);
    expect(stopped.stdout).toContain(`Stopped stream ${stream}.`);
    expect(stopped.code).toBe(0);
    expect(await daemon.exited({ timeout: 1_000 })).toEqual({ code: 0, signal: null });
    expect(readPidFile(join(folder, `${stream}.pid`))).toBeNull();
    await database.client.query("TRUNCATE products");
  });

  test.each(["SIGTERM", "SIGINT"] as const)("%s drains and ends with 0", async (signal) => {
    const daemon = spawnDaemon(flags);
    started.push(daemon);
    await daemon.says('"state":"streaming"');
    expect(await daemon.kill(signal)).toEqual({ code: 0, signal: null });
  });

  test("start --detach returns when it streams; a second one is refused; stop by the pid file", async () => {
    const first = await run(["start", "--detach", ...flags]);
    expect(first.stderr).toBe("");
    expect(first.stdout).toContain(`Stream ${stream} is streaming`);
    expect(first.code).toBe(0);
    const second = await run(["start", "-d", ...flags]);
    expect(second.stderr).toContain("ALREADY_RUNNING: ");
    expect(second.code).toBe(1);
    expect(readFileSync(join(folder, `${stream}.log`), "utf8")).toContain('"msg":"streaming"');
    const stopped = await run(["stop", "--pid-file", join(folder, `${stream}.pid`)]);
    expect(stopped).toMatchObject({ code: 0, stderr: "" });
    expect(readPidFile(join(folder, `${stream}.pid`))).toBeNull();
    const status = await run(["status", ...where]);
    expect(status.stderr).toContain(`What the last one said stands in ${join(folder, `${stream}.log`)}.`);
    expect(status.code).toBe(5);
  });

  test("start --detach prints the failure of what it started", async () => {
    const file = join(folder, "unreachable.yaml");
    writeFileSync(file, "{ postgres: { url: postgres://u:p@127.0.0.1:1/d }, kafka: { brokers: [127.0.0.1:1] } }");
    // Flags written as one: a child that read its wish to detach again would start another one, and so on.
    const failed = await run(["start", "-dc", file, ...where], { AFTERIMAGE_STARTUP_WAIT: "0ms" });
    expect(failed.stderr).toMatch(/^POSTGRES_UN.*\n {2}- POSTGRES_UN.*\n {2}- KAFKA_UN.*\n {2}→ Mend/);
    expect(failed.code).toBe(3);
    expect(readPidFile(join(folder, `${stream}.pid`))).toBeNull();
  });

  test("a second daemon stands by and takes over", async () => {
    const first = spawnDaemon(flags);
    started.push(first);
    await first.says('"state":"streaming"');
    const port = await adminPort();
    const second = spawnDaemon([...flags, "--admin-port", port, "--pid-file", join(folder, `${stream}-2.pid`)]);
    started.push(second);
    await second.says('"state":"standby"');
    const status = await run(["status", "--stream", stream, "--admin-port", port]);
    expect(status.stdout).toContain("standby");
    await first.kill("SIGKILL");
    await second.says('"state":"streaming"');
    expect(await second.kill("SIGTERM")).toEqual({ code: 0, signal: null });
  });

  test("an admin port in use", async () => {
    const first = spawnDaemon(flags);
    started.push(first);
    await first.says('"state":"streaming"');
    const { code, stderr } = await run(["start", ...flags, "--pid-file", join(folder, `${stream}-2.pid`)]);
    expect(stderr).toContain("ADMIN_PORT_IN_USE: ");
    expect(code).toBe(1);
  });
});
