// A password that was given in a flag is not left in the list of processes.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { spawnCli } from "../../support/daemon.ts";

test.each([
  ["as two words", ["--postgres", "postgres://cdc:two s3cr3t@127.0.0.1:1/shop"]],
  ["as one", ["--postgres=postgresql://cdc:s3cr3t@127.0.0.1:1/shop?password=s3cr3t"]],
])("a flag %s", async (_, flag) => {
  const daemon = spawnCli(["start", "--stream", "shop", ...flag, "--kafka", "127.0.0.1:1", "--admin-port", "0"]);
  try {
    await daemon.says("does not answer yet");
    const listed = readFileSync(`/proc/${daemon.pid}/cmdline`, "utf8");
    expect(listed).toContain("cdc:***@127.0.0.1:1/shop");
    expect(listed).not.toContain("s3cr3t");
    expect(daemon.output()).not.toContain("s3cr3t");
  } finally {
    await daemon.kill();
  }
});
