// What an error means: try again, stand by, or halt. Its code decides, never its text.
import { describe, expect, test } from "vitest";
import { codeOf, decide, reported } from "../../../src/daemon/error-policy.ts";
import { AfterimageError } from "../../../src/errors.ts";
import { AmbiguousOutcome } from "../../../src/kafka/errors.ts";

const coded = (code: unknown, message = "said") => Object.assign(new Error(message), { code });
const named = (code: string) => new AfterimageError(code, "What happened.", "What to do.");

describe("retried, at first and later", () => {
  test.each([
    ...["KAFKA_UNREACHABLE", "KAFKA_NOT_READY", "KAFKA_CLOSED", "KAFKA_OUTCOME_UNKNOWN"],
    ...["POSTGRES_UNREACHABLE", "PRODUCER_FENCED", "PROGRESS_MOVED", "STANDBY_BEHIND"],
  ])("%s", (code) => {
    expect(decide(named(code), false)).toBe("retry");
    expect(decide(named(code), true)).toBe("retry");
  });

  test.each([
    ...["08000", "08001", "08003", "08004", "08006", "08P01"],
    ...["53000", "53100", "53200", "53300", "53400"],
    ...["57P01", "57P02", "57P03", "57P05", "57014", "58030", "40001", "40P01", "55P03", "42704"],
    "ECONNREFUSED",
    "ECONNRESET",
    "EPIPE",
    "ETIMEDOUT",
    "ENOTFOUND",
    "EAI_AGAIN",
  ])("%s of a library", (code) => {
    expect(decide(coded(code), false)).toBe("retry");
    expect(decide(coded(code), true)).toBe("retry");
  });
});

describe("halt at first, retried once it has streamed", () => {
  test.each([
    ...["POSTGRES_AUTHENTICATION_FAILED", "POSTGRES_IN_RECOVERY", "28P01", "28000"],
    ...["KAFKA_AUTHENTICATION_FAILED", "KAFKA_TLS_FAILED", "KAFKA_NOT_AUTHORIZED"],
    "CONFIG_FILE_UNREADABLE",
  ])("%s", (code) => {
    expect(decide(coded(code), false)).toBe("halt");
    expect(decide(coded(code), true)).toBe("retry");
  });
});

test("a statement that failed is judged by what the server said", () => {
  const failed = (code: string) =>
    new AfterimageError("POSTGRES_QUERY_FAILED", "What happened.", "What to do.", { cause: coded(code) });
  expect(decide(failed("53200"), false)).toBe("retry");
  expect(decide(failed("42501"), true)).toBe("halt");
});

test("an outcome that Kafka left open is tried again", () => {
  const error = new AmbiguousOutcome("InitProducerId", undefined);
  expect(decide(error, false)).toBe("retry");
  expect(reported(error)).toBe(error);
});

test("a slot in use means standby", () => {
  expect(decide(coded("55006"), false)).toBe("standby");
  expect(decide(coded("55006"), true)).toBe("standby");
});

describe("everything else halts: going on would lose or double", () => {
  test.each([
    ...[
      "SLOT_LOST",
      "PUBLICATION_LOST",
      "PUBLICATION_FOREIGN",
      "PUBLICATION_CHANGED",
      "SERVER_FOREIGN",
      "SLOT_FOREIGN",
      "SLOT_AHEAD",
    ],
    ...["SERVER_BEHIND", "TIMELINE_DIVERGED", "RESUME_MISMATCH", "POSITION_NOT_FOUND", "TABLE_REPUBLISHED"],
    ...["KEY_CHANGED", "KEY_DEFERRABLE", "KEY_NOT_SENT", "TABLE_DROPPED", "TABLE_RENAMED", "TEXT_UNDECODABLE"],
    ...["PGOUTPUT_MALFORMED", "RECORD_TOO_LARGE", "TOPIC_RECREATED", "TOPIC_REPARTITIONED", "TOPIC_MISSING"],
    ...["TOPIC_FOREIGN", "TOPIC_COLLISION", "PROGRESS_FOREIGN", "PROGRESS_MISSING", "SCHEMAS_MISSING", "PROGRESS_HELD"],
    ...["TOPIC_HELD", "STANDBY_PROMOTED", "STANDBY_FEEDBACK"],
    ...["PROGRESS_VERSION_UNKNOWN", "NOBODY_KNOWS_THIS", "XX000", "42501", "3D000", "57P04", "58P01"],
  ])("%s", (code) => {
    expect(decide(coded(code), true)).toBe("halt");
  });

  test.each([
    ["a bug", new TypeError("x is not a function")],
    ["a text that sounds like a lost connection", new Error("ECONNRESET: Connection terminated")],
    ["a code that is no text", coded(57)],
    ["no error at all", "ECONNRESET"],
    ["nothing", undefined],
  ])("%s", (_, thrown) => {
    expect(decide(thrown, true)).toBe("halt");
  });
});

test("the code is the error's own", () => {
  expect(codeOf(coded("42P01"))).toBe("42P01");
  expect(codeOf(named("SLOT_LOST"))).toBe("SLOT_LOST");
  expect(codeOf(new Error("x"))).toBeUndefined();
  expect(codeOf({ code: "42P01" })).toBeUndefined();
});

describe("what an operator meets", () => {
  test("an error with a name is left as it is", () => {
    const error = named("SLOT_LOST");
    expect(reported(error)).toBe(error);
  });

  test.each([
    ["an SQLSTATE", coded("42501"), "POSTGRES_FAILED"],
    ["a file that a plain connection misses", coded("58P01"), "POSTGRES_FAILED"],
    ["a broken connection", coded("ECONNRESET"), "POSTGRES_UNREACHABLE"],
    ["a broken pipe, whose code is as long as an SQLSTATE", coded("EPIPE"), "POSTGRES_UNREACHABLE"],
    ["a bug", new TypeError("x"), "INTERNAL"],
    ["a node error nobody expects", coded("ERR_STRING_TOO_LONG"), "INTERNAL"],
    ["something thrown that is no error", "x", "INTERNAL"],
  ])("%s becomes one with a name and advice", (_, thrown, code) => {
    const error = reported(thrown);
    expect(error.code).toBe(code);
    expect(error.advice).not.toBe("");
    expect(error.cause).toBe(thrown);
  });
});
