// What a connection starts with: the URL's own wishes are kept where they do no harm, and never stand above ours.
import pg from "pg";
import { describe, expect, test } from "vitest";
import { clientConfig, PINNED_OPTIONS } from "../../../src/source/session-settings.ts";

/** What the driver makes of it. */
function seen(url: string, more: object = {}) {
  const client = new pg.Client({ ...clientConfig({ url }, "afterimage shop"), ...more });
  const { connectionParameters, getStartupConf } = client as unknown as {
    connectionParameters: Record<string, unknown>;
    getStartupConf: () => Record<string, string>;
  };
  return { parameters: connectionParameters, startup: getStartupConf.call(client) };
}

describe("parameters of the URL", () => {
  test("options are kept, before ours: the last one wins", () => {
    expect(seen("postgres://u:p@h/d?options=endpoint%3Dep-1%20-c%20datestyle%3DGerman").startup.options).toBe(
      `endpoint=ep-1 -c datestyle=German ${PINNED_OPTIONS}`,
    );
    expect(seen("postgres://u:p@h/d?options=-c%20a%3D1&options=-c+b%3D2").startup.options).toBe(
      `-c a=1 -c b=2 ${PINNED_OPTIONS}`,
    );
  });

  test("nothing that the server puts above options is sent", () => {
    const { startup } = seen(
      "postgres://u:p@h/d?statement_timeout=5&lock_timeout=5&idle_in_transaction_session_timeout=5&application_name=x&client_encoding=LATIN1&fallback_application_name=y",
    );
    expect(startup).toEqual({ user: "u", database: "d", application_name: "afterimage shop", options: PINNED_OPTIONS });
  });

  test("replication is our decision", () => {
    expect(seen("postgres://u:p@h/d?replication=database").startup).not.toHaveProperty("replication");
    expect(seen("postgres://u:p@h/d?replication=false", { replication: "database" }).startup.replication).toBe(
      "database",
    );
  });

  test("the others stay as they are written", () => {
    const { parameters } = seen("postgres://u:p%40ss@h:1/d%20b?query_timeout=1&host=%2Ftmp&sslmode=disable&options=");
    expect(parameters).toMatchObject({ user: "u", password: "p@ss", database: "d b", host: "/tmp", ssl: false });
    expect(seen("postgres://u:p@h/d").startup.options).toBe(PINNED_OPTIONS);
  });
});
