// Servers that the environment names and that are not there: told at once, without their password.
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { checkNamed } from "../../../dev/servers/named.ts";

const POSTGRES = "AFTERIMAGE_TEST_POSTGRES_URL";
const BROKERS = "AFTERIMAGE_TEST_KAFKA_BROKERS";

test.each([
  [POSTGRES, "a Postgres that is not there", "postgres://u:s3cr3t@127.0.0.1:1/postgres", undefined],
  [POSTGRES, "no URL", "u:s3cr3t@localhost", undefined],
  [BROKERS, "brokers that are not there", undefined, "127.0.0.1:1,127.0.0.1:2"],
  [BROKERS, "no port", undefined, "localhost"],
  [BROKERS, "a port that is none", undefined, "localhost:99999"],
])("%s: %s", async (name, _, url, brokers) => {
  const refused = await checkNamed(url, brokers).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "SERVER_NOT_REACHED", message: expect.stringContaining(name) });
  expect(String(refused)).not.toContain("s3cr3t");
});

test("one broker of several is enough; what is not named is not looked for", async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  await checkNamed(undefined, `127.0.0.1:1, 127.0.0.1:${port}`);
  await checkNamed(undefined, undefined);
  server.close();
});
