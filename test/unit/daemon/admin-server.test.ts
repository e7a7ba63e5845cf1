// The admin address over real HTTP: what it serves, and whom it refuses.
import { connect } from "node:net";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { type AdminServer, COMMAND_HEADER, isAllowedHost, startAdminServer } from "../../../src/daemon/admin-server.ts";
import { History } from "../../../src/daemon/history.ts";
import { startMetricsServer } from "../../../src/daemon/probes.ts";
import type { DaemonStatus, State } from "../../../src/daemon/status.ts";
import { AfterimageError } from "../../../src/errors.ts";
import { statusWith } from "../../support/daemon-status.ts";

let server: AdminServer;
let state: State;
let stops: number;
let snapshots: [string, string | null][];
let history: History;

beforeEach(async () => {
  state = "streaming";
  stops = 0;
  snapshots = [];
  history = new History(() => ({ lagBytes: 1, lagSeconds: null, events: 2, bytes: 3, retainedBytes: 4 }));
  server = await startAdminServer({
    host: "127.0.0.1",
    port: 0,
    hostnames: ["cdc.internal"],
    status: () => statusWith({ state }),
    history,
    stop: () => {
      stops++;
    },
    snapshot: async (table, where) => {
      if (table === "") throw new AfterimageError("SNAPSHOT_TABLE_UNKNOWN", "No table.", "Name one.");
      snapshots.push([table, where]);
    },
    cancelSnapshot: async (table) => void snapshots.push([table, "given up"]),
  });
});
afterEach(() => {
  history.close();
  return server.close();
});

const post = (headers: Record<string, string>) => fetch(`${server.address}/stop`, { method: "POST", headers });

/** fetch sets Host by itself, so requests with another one are written by hand. */
function raw(request: string, address = server.address): Promise<string> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(Number(port), hostname, () => socket.write(request));
    socket.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    socket.on("end", () => resolve(text)).on("error", reject);
  });
}

test("status, health and readiness", async () => {
  expect(await (await fetch(`${server.address}/status`)).json()).toEqual(statusWith({ state: "streaming" }));
  const codes = async () => [
    (await fetch(`${server.address}/healthz`)).status,
    (await fetch(`${server.address}/readyz`)).status,
  ];
  expect(await codes()).toEqual([200, 200]);
  state = "backing-off";
  expect(await codes()).toEqual([200, 503]);
  state = "halted";
  expect(await codes()).toEqual([503, 503]);
});

test("metrics and the reason for readiness, also when they can't be made", async () => {
  const wrong = { status: () => ({ eventsPublished: -1 }) as DaemonStatus };
  for (const [status, code] of [
    [() => statusWith({ state: "backing-off", lastError: null }), 200],
    [wrong.status, 500],
  ] as const) {
    const probes = await startMetricsServer({ host: "127.0.0.1", port: 0 }, status);
    onTestFinished(() => probes.close());
    expect((await fetch(`${probes.address}/metrics`)).status).toBe(code);
  }
});

test("the metrics address answers machines under any name, and nothing else than they need", async () => {
  const probes = await startMetricsServer({ host: "127.0.0.1", port: 0 }, () => statusWith({ state: "standby" }));
  onTestFinished(() => probes.close());
  const get = (path: string) => fetch(`${probes.address}${path}`);
  expect(await (await get("/readyz")).json()).toEqual({
    ok: true,
    state: "standby",
    reason: expect.stringContaining("another daemon streams"),
  });
  expect((await get("/healthz")).status).toBe(200);
  const metrics = await get("/metrics?a=b");
  expect(metrics.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await metrics.text()).toContain('afterimage_state{state="standby",stream="shop"} 1');
  expect(await raw("GET /healthz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n", probes.address)).toMatch(
    /^HTTP\/1.1 200/,
  );
  for (const path of ["/", "/status", "/stop", "/history"]) expect((await get(path)).status).toBe(404);
  const headers = { [COMMAND_HEADER]: "stop" };
  expect((await fetch(`${probes.address}/stop`, { method: "POST", headers })).status).toBe(405);
  const port = Number(new URL(probes.address).port);
  const again = (host: string) => startMetricsServer({ host, port }, () => statusWith());
  await expect(again("127.0.0.1")).rejects.toMatchObject({ code: "METRICS_PORT_IN_USE" });
  await expect(again("192.0.2.1")).rejects.toMatchObject({ code: "METRICS_ADDRESS" });
});

test("the admin address has the metrics too, under its own names only", async () => {
  expect(await (await fetch(`${server.address}/metrics`)).text()).toContain("afterimage_state");
  expect(await raw("GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 403/,
  );
});

test("the history, from a moment on", async () => {
  const ask = async (query: string) => (await fetch(`${server.address}/history${query}`)).json();
  expect(await ask("")).toEqual({ everySeconds: 2, points: [] });
  history.look();
  history.look();
  const { points } = (await ask("?after=0")) as { points: number[][] };
  expect(points.map((point) => point.slice(1))).toEqual([
    [1, null, 2, 3, 4],
    [1, null, 2, 3, 4],
  ]);
  expect(await ask(`?after=${points[1]![0]}`)).toEqual({ everySeconds: 2, points: [] });
  expect(await ask("?after=x")).toMatchObject({ points: [{}, {}] });
});

test("stop needs the header that a web page can't send", async () => {
  expect((await post({})).status).toBe(403);
  expect(stops).toBe(0);
  expect((await post({ [COMMAND_HEADER]: "stop" })).status).toBe(202);
  expect(stops).toBe(1);
});

test("foreign origins, foreign hosts and bodies are refused", async () => {
  expect((await post({ [COMMAND_HEADER]: "stop", origin: "http://evil.example" })).status).toBe(403);
  expect(await raw("GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 403/,
  );
  expect(await raw("GET /status HTTP/1.1\r\nHost: cdc.internal:80\r\nConnection: close\r\n\r\n")).toMatch(
    /^HTTP\/1.1 200/,
  );
  expect(await raw("GET /status HTTP/1.1\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1.1 400/);
  const large = await fetch(`${server.address}/stop`, {
    method: "POST",
    body: "x".repeat(5000),
    headers: { [COMMAND_HEADER]: "1" },
  });
  expect(large.status).toBe(413);
  expect(stops).toBe(0);
});

test("unknown paths and methods", async () => {
  expect((await fetch(`${server.address}/nothing`)).status).toBe(404);
  expect((await fetch(`${server.address}/stop`)).status).toBe(404);
  expect((await fetch(`${server.address}/status`, { method: "DELETE" })).status).toBe(404);
});

test("a snapshot is asked for with the command's header; its refusal has a code; a condition needs a loopback address", async () => {
  const ask = (
    query: string,
    address = server.address,
    headers: Record<string, string> = { [COMMAND_HEADER]: "snapshot" },
  ) => fetch(`${address}/snapshot?${query}`, { method: "POST", headers });
  expect((await ask("table=public.t", server.address, {})).status).toBe(403);
  expect((await ask("table=public.t")).status).toBe(202);
  expect((await ask(`table=${encodeURIComponent('"a.b"."c"')}&where=${encodeURIComponent("id > 5")}`)).status).toBe(
    202,
  );
  expect(snapshots).toEqual([
    ["public.t", null],
    ['"a.b"."c"', "id > 5"],
  ]);
  const refused = await ask("table=");
  expect(refused.status).toBe(409);
  expect(await refused.json()).toMatchObject({ code: "SNAPSHOT_TABLE_UNKNOWN" });
  const open = await startAdminServer({
    host: "0.0.0.0",
    port: 0,
    status: () => ({}) as DaemonStatus,
    history,
    stop: () => undefined,
    snapshot: async (table, where) => void snapshots.push([table, where]),
    cancelSnapshot: async () => undefined,
  });
  const address = open.address.replace("0.0.0.0", "127.0.0.1");
  expect(await (await ask("table=t&where=true", address)).json()).toMatchObject({ code: "SNAPSHOT_CONDITION" });
  expect((await ask("table=t", address)).status).toBe(202);
  expect(snapshots).toHaveLength(3);
  expect((await ask("table=public.t&cancel=yes")).status).toBe(202);
  expect(snapshots.at(-1)).toEqual(["public.t", "given up"]);
  await open.close();
});

test("a port in use and an address of another machine have their names", async () => {
  const port = Number(new URL(server.address).port);
  const options = {
    host: "127.0.0.1",
    port,
    status: () => ({}) as DaemonStatus,
    history,
    stop: () => undefined,
    snapshot: async () => undefined,
    cancelSnapshot: async () => undefined,
  };
  await expect(startAdminServer(options)).rejects.toMatchObject({ code: "ADMIN_PORT_IN_USE" });
  await expect(startAdminServer({ ...options, host: "192.0.2.1", port: 0 })).rejects.toMatchObject({
    code: "ADMIN_ADDRESS",
  });
});

test("an address that others can reach is noted", async () => {
  expect(server.notes).toEqual([]);
  const open = await startAdminServer({
    host: "0.0.0.0",
    port: 0,
    status: () => ({}) as DaemonStatus,
    history,
    stop: () => undefined,
    snapshot: async () => undefined,
    cancelSnapshot: async () => undefined,
  });
  expect(open.notes[0]).toContain("can be reached by other machines");
  await open.close();
});

test.each([
  ["localhost:7788", true],
  ["127.0.0.1", true],
  ["[::1]:7788", true],
  ["10.1.2.3:80", true],
  ["cdc:7788", true],
  ["CDC", true],
  ["evil.example", false],
  ["127.0.0.1.evil.example", false],
  ["", false],
])("host %j: %s", (host, allowed) => {
  expect(isAllowedHost(host, { host: "0.0.0.0", hostnames: ["cdc"] })).toBe(allowed);
});
