// Frames keep their order, whatever is looked up in between.
import { expect, test } from "vitest";
import { FrameQueue } from "../../../src/pipeline/frame-queue.ts";
import { lsn } from "../event/tables.ts";

/** Handles frames in order; one whose text begins with `?` holds the queue, as a row of an unknown relation does. */
function queue() {
  const handled: string[] = [];
  const frames = new FrameQueue(
    (bytes) => {
      const text = bytes.toString();
      handled.push(text);
      if (text.startsWith("?")) {
        frames.hold();
      }
    },
    (walEnd) => handled.push(`@${walEnd}`),
  );
  return { frames, handled, wal: (text: string) => frames.wal(Buffer.from(text)) };
}

test("frames are handled at once", () => {
  const { frames, handled, wal } = queue();
  wal("a");
  frames.keepalive(lsn(1));
  expect(handled).toEqual(["a", "@1"]);
});

test("while it is held they wait, keepalives in their place", () => {
  const { frames, handled, wal } = queue();
  wal("?a");
  expect(frames.held).toBe(true);
  wal("b");
  frames.keepalive(lsn(2));
  wal("c");
  expect(handled).toEqual(["?a"]);
  frames.release();
  expect(frames.held).toBe(false);
  expect(handled).toEqual(["?a", "b", "@2", "c"]);
  wal("d");
  expect(handled.at(-1)).toBe("d");
});

test("a frame that holds it again stops the release; what came later stays behind what waited", () => {
  const { frames, handled, wal } = queue();
  wal("?a");
  for (const text of ["b", "?c", "d", "?e", "f"]) {
    wal(text);
  }
  frames.release();
  expect(handled).toEqual(["?a", "b", "?c"]);
  wal("g");
  frames.keepalive(lsn(9));
  frames.release();
  expect(handled).toEqual(["?a", "b", "?c", "d", "?e"]);
  wal("h");
  frames.release();
  expect(handled).toEqual(["?a", "b", "?c", "d", "?e", "f", "g", "@9", "h"]);
  expect(frames.held).toBe(false);
});

test("a frame that waits is a copy: the driver reuses its buffer", () => {
  const { frames, handled, wal } = queue();
  wal("?a");
  const shared = Buffer.from("b");
  frames.wal(shared);
  shared.fill("x");
  frames.release();
  expect(handled).toEqual(["?a", "b"]);
});
