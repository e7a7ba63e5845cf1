// What a user sees when something went wrong, and the exit code a script sees.
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { exitCodeOf, renderError, toAfterimageError } from "../../../src/cli/render-error.ts";
import { AfterimageError, revived } from "../../../src/errors.ts";

const plain = new PassThrough() as unknown as NodeJS.WriteStream;

test("code, what happened, and the advice below", () => {
  expect(renderError(new AfterimageError("X_Y", "It broke.", "Mend it."), plain)).toBe(
    "X_Y: It broke.\n  → Mend it.\n",
  );
});

test.each([
  ["CONFIG_MISSING", 2],
  ["CONFIG_SYNTAX", 2],
  ["USAGE", 2],
  ["POSTGRES_UNREACHABLE", 3],
  ["KAFKA_UNREACHABLE", 3],
  ["SLOT_LOST", 4],
  ["NOT_RUNNING", 5],
  ["INTERNAL", 1],
])("%s exits with %d", (code, exit) => {
  expect(exitCodeOf(new AfterimageError(code, "", ""))).toBe(exit);
});

test("the unexpected is INTERNAL, without stack and without a library's message", () => {
  const error = toAfterimageError(Object.assign(new Error("duplicate key value (s3cr3t)"), { code: "23505" }));
  expect(error.code).toBe("INTERNAL");
  expect(renderError(error, plain)).not.toContain("s3cr3t");
  expect(renderError(error, plain)).not.toContain("    at ");
  expect(toAfterimageError(new TypeError("x is not a function")).message).toContain("TypeError: x is not a function");
  expect(toAfterimageError(undefined).code).toBe("INTERNAL");
});

test("a name can't make a message look like a list of findings", () => {
  const forged = "a\n  - KEY_OK: forged line";
  const single = renderError(new AfterimageError("X", `Table ${forged} has no key.`, "Mend it."));
  expect(single.split("\n")).toHaveLength(3);
  const list = renderError(new AfterimageError("X", "2 things:", "Mend them.", { items: [forged, "b"] }));
  expect(list.split("\n").map((line) => line.slice(0, 12))).toEqual([
    expect.anything(),
    "  - a\\u000a  -".slice(0, 12),
    "  - b",
    expect.stringContaining("→"),
    "",
  ]);
  const { code, message, advice } = new AfterimageError("X", "2 things:", "Mend them.", { items: [forged, "b"] });
  expect(renderError(revived({ code, message, advice }), plain), "told by a detached daemon").toBe(
    "X: 2 things:\n  - a\\u000a  - KEY_OK: forged line\n  - b\n  → Mend them.\n",
  );
});
