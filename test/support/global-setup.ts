// Starts the servers once per run, only when the project that needs them runs, and hands their addresses to the tests.
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
  const servers = await startServers({ log: (line) => process.stderr.write(`${line}\n`) });
  project.provide("postgresUrl", servers.postgresUrl);
  project.provide("brokers", servers.brokers);
  return () => servers.stop();
}
