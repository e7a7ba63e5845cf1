// What hangs becomes a failure with a name, and what is done in time is not touched.
import { expect, test } from "vitest";
import { inTime } from "../../torture/deadline.ts";

test("work that never ends is a failure that names it", async () => {
  await expect(inTime(new Promise(() => undefined), 20, "The strike of x")).rejects.toThrow(
    "The strike of x hangs: it was not over after 20 ms.",
  );
});

test("work that ends in time gives what it gives, or fails as it fails", async () => {
  expect(await inTime(Promise.resolve(7), 1_000, "It")).toBe(7);
  await expect(inTime(Promise.reject(new Error("broken")), 1_000, "It")).rejects.toThrow("broken");
});
