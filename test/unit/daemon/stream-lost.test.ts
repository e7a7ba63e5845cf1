// What the end of a replication connection means: WAL that is gone is told apart from what may pass.
import { expect, test } from "vitest";
import { streamLost } from "../../../src/daemon/open-slot.ts";

const coded = (code: string) => Object.assign(new Error("requested WAL segment 1 has already been removed"), { code });

test("WAL that the server no longer has: SLOT_LOST, with the stream's own remedy", () => {
  const error = coded("58P01");
  expect(streamLost("shop", error)).toMatchObject({
    code: "SLOT_LOST",
    message: expect.stringContaining("58P01"),
    advice: expect.stringContaining("afterimage drop shop --topics"),
    cause: error,
  });
});

test.each(["57P01", "58030", "XX000", "ECONNRESET"])("%s stays what it is", (code) => {
  const error = coded(code);
  expect(streamLost("shop", error)).toBe(error);
});
