// Which messages are published: by default none, and a table never goes to the stream's own topics.
import { expect, test } from "vitest";
import { loadConfig } from "../../../src/config/config.ts";
import { matchesPrefix } from "../../../src/config/message-prefixes.ts";

test.each([
  [[], "outbox", false],
  [["outbox"], "outbox", true],
  [["outbox"], "outbox2", false],
  [["outbox"], "Outbox", false],
  [["x", "audit.*"], "audit.login", true],
  [["audit.*"], "auditXlogin", false],
  [["a*z"], "a\nz", true],
  [["*"], "", true],
  [["a|b"], "a", false],
  [["a|b"], "a|b", true],
])("%j on %j: %j", (patterns, prefix, matches) => {
  expect(matchesPrefix(patterns, prefix)).toBe(matches);
});

const ENOUGH = {
  AFTERIMAGE_STREAM: "shop",
  AFTERIMAGE_POSTGRES_URL: "postgres://cdc:s3cr3t@localhost:5432/shop",
  AFTERIMAGE_KAFKA_BROKERS: "localhost:9092",
};
const wanting = { ...ENOUGH, AFTERIMAGE_MESSAGES_PREFIXES: "outbox,audit.*" };

test("prefixes in a variable", () => {
  expect(loadConfig({ env: wanting }).messages).toEqual({ prefixes: ["outbox", "audit.*"] });
});

test.each([
  [wanting, "shop.messages", true],
  [ENOUGH, "shop.messages", false],
  [ENOUGH, "shop.progress", true],
  [ENOUGH, "shop.schemas", true],
  [wanting, "other.messages", false],
])("a table that is sent to the stream's own topic (%#)", (env, topic, isRefused) => {
  const load = () => loadConfig({ env: { ...env, AFTERIMAGE_TOPICS: `public.t=${topic}` } });
  if (isRefused) {
    expect(load).toThrow(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(topic) }));
  } else {
    expect(load().topics).toEqual([{ schema: "public", table: "t", topic }]);
  }
});
