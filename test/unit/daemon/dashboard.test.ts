// The dashboard's files: all that the page asks for is served by the daemon itself, nothing is inline, and no frame, script
// or style from elsewhere is let in.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AdminServer, startAdminServer } from "../../../src/daemon/admin-server.ts";
import { History } from "../../../src/daemon/history.ts";
import { statusWith } from "../../support/daemon-status.ts";

let server: AdminServer;
const history = new History(() => ({ lagBytes: 0, lagSeconds: 0, events: 0, bytes: 0, retainedBytes: 0 }));

beforeAll(async () => {
  const nothing = async () => undefined;
  server = await startAdminServer({
    host: "127.0.0.1",
    port: 0,
    status: () => statusWith(),
    history,
    stop: () => undefined,
    snapshot: nothing,
    cancelSnapshot: nothing,
  });
});
afterAll(async () => {
  history.close();
  await server.close();
});

const get = (path: string) => fetch(`${server.address}${path}`);

test("every file that the page and its scripts name is there, from this server", async () => {
  const seen = new Set<string>();
  const waiting = ["/"];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const response = await get(path);
    expect(response.status, path).toBe(200);
    expect(response.headers.get("content-security-policy"), path).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self';(?!.*unsafe).*frame-ancestors 'none'$/,
    );
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const text = await response.text();
    if (path === "/") {
      waiting.push(
        ...[...text.matchAll(/<(?:link|script)[^>]*\b(?:href|src)="([^"]+)"/g)].map(([, target]) => target!),
      );
    } else if (path !== "/uplot.js") {
      waiting.push(...[...text.matchAll(/^import .* from "([^"]+)";$/gm)].map(([, target]) => target!));
    }
  }
  expect(seen).toContain("/uplot.js");
  expect([...seen].filter((path) => !path.startsWith("/"))).toEqual([]);
});

test("nothing is inline, and what is shown never becomes markup", async () => {
  const page = await (await get("/")).text();
  expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|https?:/);
  for (const path of ["/app.js", "/tables.js", "/charts.js", "/format.js", "/words.js"]) {
    expect(await (await get(path)).text(), path).not.toMatch(
      /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(/,
    );
  }
});

test.each(["/../status.ts", "/dashboard/app.js", "/app.js/", "/%2e%2e/package.json", "/uplot.js.map"])(
  "%s is no file of it",
  async (path) => {
    expect((await get(path)).status).toBe(404);
  },
);

test("HEAD has the same headers", async () => {
  const response = await fetch(`${server.address}/`, { method: "HEAD" });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
});
