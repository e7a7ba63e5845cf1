// A warm standby outlives restarts of Postgres however long it has stood by.
import { afterAll, beforeAll, test } from "vitest";
import { type Servers, startServers } from "../../dev/servers/servers.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { waitFor } from "../support/wait-for.ts";

let servers: Servers;
beforeAll(async () => {
  servers = await startServers({ own: true });
});
afterAll(() => servers?.stop());

test("Postgres restarts after startup.wait is over: the standby goes on standing by, or takes over", async () => {
  const stream = await CapturedStream.create("CREATE TABLE t (id int PRIMARY KEY)", {}, servers);
  const standby = stream.spawn({ AFTERIMAGE_STARTUP_WAIT: "1s" });
  try {
    await standby.says('"state":"standby"');
    const over = Date.now() + 1_500;
    await waitFor(() => Date.now() > over, { what: "startup.wait to be over" });
    for (const mode of ["immediate", "fast"] as const) {
      await servers.postgres!.stop(mode);
      await standby.says('"state":"backing-off"');
      await servers.postgres!.start();
    }
    const states = () =>
      [stream.daemon, standby].map((each) =>
        each
          .output()
          .match(/"state":"([a-z-]+)"/g)
          ?.at(-1),
      );
    await waitFor(() => states().toSorted().join() === '"state":"standby","state":"streaming"', {
      what: "one to stream and the other to stand by",
    });
  } finally {
    await standby.kill();
    await stream.drop();
  }
});
