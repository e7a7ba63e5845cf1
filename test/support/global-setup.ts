// Starts the servers once per run, only when the project that needs them runs, and hands their addresses to the tests.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startServers } from "../../dev/servers/servers.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Of a superuser, to the database `postgres`. */
    postgresUrl: string;
    /** `host:port` each. */
    brokers: string[];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // A thousand processes are started: the first ones leave to the others what compiling the sources came to, which is half
  // of a start. https://nodejs.org/api/cli.html#node_compile_cachedir
  const compiled = await mkdtemp(join(tmpdir(), "afterimage-compiled-"));
  process.env.NODE_COMPILE_CACHE = compiled;
  const servers = await startServers({ log: (line) => process.stderr.write(`${line}\n`) });
  project.provide("postgresUrl", servers.postgresUrl);
  project.provide("brokers", servers.brokers);
  return async () => {
    await servers.stop();
    // A process that ends at this moment still writes into it.
    await rm(compiled, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
}
