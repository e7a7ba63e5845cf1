// The configuration: what wins over what, the defaults, and the message for every way of getting it wrong.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type ConfigSources, loadConfig, loadConfigPart, rereadPasswords } from "../../../src/config/config.ts";
import { AfterimageError } from "../../../src/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "afterimage-config-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
function fileWith(text: string): string {
  const path = join(folder, `${files++}.yaml`);
  writeFileSync(path, text);
  return path;
}

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://cdc:s3cr3t@localhost:5432/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};

function failure(sources: Partial<ConfigSources>): AfterimageError {
  try {
    loadConfig({ env: ENOUGH, ...sources });
  } catch (error) {
    if (error instanceof AfterimageError) return error;
    throw error;
  }
  throw new Error("The configuration was accepted.");
}

describe("what is accepted", () => {
  test("three settings are enough, the rest has defaults", () => {
    expect(loadConfig({ env: ENOUGH })).toEqual({
      stream: "shop",
      postgres: {
        url: "postgres://cdc:s3cr3t@localhost:5432/shop",
        slot: "afterimage_shop",
        publication: "afterimage_shop",
        failover: false,
        origin: "any",
        acceptPublicationXmin: null,
      },
      tables: ["public.*"],
      keyless: [],
      snapshot: "initial",
      onRewrite: "snapshot",
      snapshotConnections: 2,
      spoolFolder: null,
      topics: [],
      messages: { prefixes: [] },
      images: [],
      imagesFile: "afterimage-shop.images",
      kafka: {
        brokers: ["localhost:9092"],
        clientId: "afterimage.shop",
        partitions: 4,
        replicationFactor: -1,
        ssl: false,
      },
      admin: { host: "127.0.0.1", port: 7788, hostnames: [] },
      metrics: null,
      startup: { waitMs: 60_000 },
      batch: { maxBytes: 1024 * 1024, lingerMs: 5 },
      walGuard: { warn: 10 * 1024 ** 3, alert: 50 * 1024 ** 3, giveUp: null },
      pidFile: null,
      log: { level: "info", format: "auto", file: null },
    });
  });

  test("the file of the README", () => {
    const file = fileWith(`
stream: shop
postgres: { url: "postgres://cdc:secret@localhost:5432/shop" }
tables: ["public.*"]
kafka: { brokers: ["localhost:9092"], partitions: 8 }
admin: { host: 127.0.0.1, port: 7788 }
`);
    expect(loadConfig({ file, env: {} })).toMatchObject({ stream: "shop", kafka: { partitions: 8 } });
  });

  test("flags win over the environment, the environment over the file", () => {
    const file = fileWith("stream: file\nadmin: { port: 1, host: file }\ntables: [public.a]\n");
    const config = loadConfig({
      file,
      env: { ...ENOUGH, AFTERIMAGE_STREAM: "env", AFTERIMAGE_ADMIN_PORT: "2" },
      flags: { stream: "flag" },
    });
    expect(config).toMatchObject({ stream: "flag", admin: { port: 2, host: "file" }, tables: ["public.a"] });
  });

  test("lists in one variable, with commas inside quotes kept", () => {
    const env = { ...ENOUGH, AFTERIMAGE_KAFKA_BROKERS: "a:1, b:2", AFTERIMAGE_TABLES: '"a,b".*,!public.audit' };
    expect(loadConfig({ env })).toMatchObject({
      kafka: { brokers: ["a:1", "b:2"] },
      tables: ['"a,b".*', "!public.audit"],
    });
  });

  test("topics, times, sizes and an empty variable", () => {
    const env = {
      ...ENOUGH,
      AFTERIMAGE_TOPICS: 'public.orders=shop.orders,"a=b".T=t2',
      AFTERIMAGE_STARTUP_WAIT: "500ms",
      AFTERIMAGE_BATCH_MAX_BYTES: "1MiB",
      AFTERIMAGE_ADMIN_PORT: "",
    };
    expect(loadConfig({ env })).toMatchObject({
      topics: [
        { schema: "public", table: "orders", topic: "shop.orders" },
        { schema: "a=b", table: "T", topic: "t2" },
      ],
      startup: { waitMs: 500 },
      batch: { maxBytes: 1024 * 1024 },
      admin: { port: 7788 },
    });
  });

  test("secrets from files, put into the URL", () => {
    const env = {
      ...ENOUGH,
      AFTERIMAGE_POSTGRES_PASSWORD_FILE: fileWith("p@ss/word\n"),
      AFTERIMAGE_KAFKA_SASL_MECHANISM: "scram-sha-512",
      AFTERIMAGE_KAFKA_SASL_USERNAME: "me",
      AFTERIMAGE_KAFKA_SASL_PASSWORD_FILE: fileWith("kafka-pass\n"),
      AFTERIMAGE_KAFKA_SSL_CA: fileWith("PEM"),
    };
    const config = loadConfig({ env });
    expect(config.postgres.url).toBe("postgres://cdc:p%40ss%2Fword@localhost:5432/shop");
    expect(config.kafka).toMatchObject({ sasl: { password: "kafka-pass" }, ssl: { ca: "PEM" } });
  });

  test("passwords that were rotated are read again, and nothing else is", () => {
    const [postgres, kafka] = [fileWith("old\n"), fileWith("old too\n")];
    const sasl = { AFTERIMAGE_KAFKA_SASL_MECHANISM: "plain", AFTERIMAGE_KAFKA_SASL_USERNAME: "me" };
    const files = { AFTERIMAGE_POSTGRES_PASSWORD_FILE: postgres, AFTERIMAGE_KAFKA_SASL_PASSWORD_FILE: kafka };
    const config = loadConfig({ env: { ...ENOUGH, ...sasl, ...files } });
    expect(rereadPasswords(config)).toEqual(config);
    writeFileSync(postgres, "n@w\n");
    writeFileSync(kafka, "new too\n");
    const { url } = config.postgres;
    expect(rereadPasswords(config)).toEqual({
      ...config,
      postgres: { ...config.postgres, url: url.replace("old", "n%40w") },
      kafka: { ...config.kafka, sasl: { ...config.kafka.sasl, password: "new too" } },
    });
    rmSync(kafka);
    expect(() => rereadPasswords(config)).toThrow(expect.objectContaining({ code: "CONFIG_FILE_UNREADABLE" }));
    const without = loadConfig({ env: ENOUGH });
    expect(rereadPasswords(without)).toEqual(without);
  });

  test("a socket's URL and a URL without database", () => {
    for (const url of ["postgres:///shop?host=/run/postgresql", "postgresql://me@/shop?host=/tmp", "postgres://h"]) {
      expect(loadConfig({ env: ENOUGH, flags: { "postgres.url": url } }).postgres.url).toBe(url);
    }
  });

  test("variables that Kubernetes and tests put beside ours are left alone", () => {
    const env = { ...ENOUGH, AFTERIMAGE_SERVICE_HOST: "10.0.0.1", AFTERIMAGE_TEST_POSTGRES_URL: "x" };
    expect(loadConfig({ env }).stream).toBe("shop");
  });

  test("a part only: what other sections lack doesn't matter", () => {
    const part = loadConfigPart({ env: { AFTERIMAGE_STREAM: "x", AFTERIMAGE_KAFKA_PARTITIONS: "none" } }, ["admin"]);
    expect(part.admin.port).toBe(7788);
  });
});

describe("what is refused", () => {
  test("an unknown key, with the one that was meant and its line", () => {
    const file = fileWith("stream: shop\nkafka:\n  broker: [a:1]\n");
    expect(failure({ file })).toMatchObject({
      code: "CONFIG_UNKNOWN_KEY",
      message: `There is no setting kafka.broker (${file} line 3).`,
      advice: "Did you mean brokers?",
    });
  });

  test("a key at the wrong level", () => {
    expect(failure({ file: fileWith("brokers: [a:1]\n") }).advice).toBe("Did you mean kafka.brokers?");
    expect(failure({ file: fileWith("wal: 1\n") }).advice).toMatch(/^Known here: stream, /);
  });

  test("a wrong type, with the place and what is expected", () => {
    expect(failure({ env: { ...ENOUGH, AFTERIMAGE_ADMIN_PORT: "abc" } })).toMatchObject({
      code: "CONFIG_INVALID",
      message: 'admin.port (AFTERIMAGE_ADMIN_PORT) is "abc".',
      advice: "Expected: a whole number from 0 to 65535 (0 takes any free port).",
    });
  });

  test.each([
    ["stream", "Shop"],
    ["stream", "x".repeat(41)],
    ["kafka.brokers", "localhost"],
    ["kafka.brokers", "localhost:99999"],
    ["tables", "orders"],
    ["tables", "!public.audit"],
    ["keyless", "t"],
    ["topics", "public.a=t,public.b=t"],
    ["topics", "public.*=t"],
    ["images", "public.*=complete"],
    ["images", "public.orders=whole"],
    ["batch.linger", "21ms"],
    ["postgres.failover", "maybe"],
    ["walGuard.warn", "1KiB"],
    ["walGuard.giveUp", "forever"],
    ["batch.maxBytes", "1KiB"],
    ["startup.wait", "60"],
    ["kafka.ssl", "yes"],
    ["kafka.replicationFactor", "0"],
    ["postgres.slot", "Slot"],
    ["log.level", "loud"],
  ])("%s = %j", (path, value) => {
    const error = failure({ flags: { [path]: value } });
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toContain(path);
  });

  test("a missing setting, with all ways to set it", () => {
    const { AFTERIMAGE_STREAM: _, ...env } = ENOUGH;
    expect(failure({ env })).toMatchObject({
      code: "CONFIG_MISSING",
      message: "stream is not set.",
      advice:
        "Set it with the flag `--stream shop`, the environment variable AFTERIMAGE_STREAM or `stream: shop` in the file given with --config.",
    });
  });

  test("nothing set at all names everything that is needed at once", () => {
    const error = failure({ env: {} });
    expect(error.code).toBe("CONFIG_MISSING");
    for (const path of ["stream", "postgres.url", "kafka.brokers"])
      expect(error.message).toContain(`${path} is not set`);
  });

  test("several mistakes are all listed", () => {
    const error = failure({ flags: { "admin.port": "x" }, file: fileWith("tabels: [a.b]\n") });
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.message).toMatch(
      /2 mistakes:\n {2}- admin\.port .*\n {2}- There is no setting tabels .* Did you mean tables/,
    );
  });

  test("a misspelt environment variable", () => {
    const error = failure({ env: { ...ENOUGH, AFTERIMAGE_POSTGRES_URI: "x" } });
    expect(error).toMatchObject({ code: "CONFIG_UNKNOWN_KEY", advice: "Did you mean AFTERIMAGE_POSTGRES_URL?" });
  });

  test("a group inside kafka.ssl with an unknown key", () => {
    expect(failure({ file: fileWith("kafka: { ssl: { keyfile: a } }\n") })).toMatchObject({
      code: "CONFIG_UNKNOWN_KEY",
      message: expect.stringContaining("kafka.ssl.keyfile"),
    });
  });

  test("YAML mistakes with their line", () => {
    expect(failure({ file: fileWith("stream: shop\nkafka: { brokers: [a:1\n") })).toMatchObject({
      code: "CONFIG_SYNTAX",
      message: expect.stringMatching(/line 3/),
    });
    expect(failure({ file: fileWith("tables: [public.a, !public.b]\n") }).advice).toContain('"!public.audit"');
    expect(failure({ file: fileWith("tables: [*.*]\n") }).advice).toContain('"*.*"');
    expect(failure({ file: fileWith("just text\n") }).code).toBe("CONFIG_SYNTAX");
  });

  test("a file that isn't there", () => {
    expect(failure({ file: join(folder, "none.yaml") })).toMatchObject({
      code: "CONFIG_FILE_UNREADABLE",
      message: expect.stringContaining("ENOENT"),
    });
  });

  test.each([
    "postgres: { url: [s3cr3t] }",
    "postgres: s3cr3t",
    'postgres: "postgres://u:s3cr3t@h/d"',
    'postgres: { url: "http://u:s3cr3t@h/d" }',
    'postgres: { url: "postgres://u:s3cr3t@h:port/d" }',
    'kafka: { brokers: ["u:s3cr3t@h:1"] }',
    "kafka: { sasl: { mechanism: plain, username: u, password: [s3cr3t] } }",
    "kafka: { sasl: { mechanism: u, username: u, password: s3cr3t } }",
    'postgres: { url: "s3cr3t"',
    'postgres: { url: "a" } "s3cr3t"',
  ])("%s: never shows the secret", (yaml) => {
    const error = failure({ file: fileWith(yaml), env: {} });
    expect(`${error.message} ${error.advice}`).not.toContain("s3cr3t");
  });
});
