// The TCP proxy that faults are made with: what is slow arrives in order, what is cut is cut, and a sender that is not
// read is not read.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TcpProxy } from "../../support/tcp-proxy.ts";
import { waitFor } from "../../support/wait-for.ts";

let server: Server;
let proxy: TcpProxy;
let port: number;
const atServer: Socket[] = [];
const clients: Socket[] = [];

beforeEach(async () => {
  port = 0;
  await startEcho();
  proxy = await TcpProxy.start(`tcp://127.0.0.1:${port}`);
});
afterEach(async () => {
  for (const socket of [...clients.splice(0), ...atServer.splice(0)]) socket.destroy();
  await proxy.close();
  await stopEcho();
});

async function startEcho(): Promise<void> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    atServer.push(socket);
    socket.on("error", () => undefined); // cut on purpose
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  port = (server.address() as { port: number }).port;
}

async function stopEcho(): Promise<void> {
  for (const socket of atServer.splice(0)) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
}

interface Client {
  readonly socket: Socket;
  readonly got: () => string;
  readonly ended: () => boolean;
  /** Of an error, or "closed". */
  readonly closed: () => string | null;
}

async function connect(): Promise<Client> {
  const { port: own } = new URL(proxy.through("tcp://localhost:1"));
  const socket = dial({ port: Number(own), host: "127.0.0.1", allowHalfOpen: true });
  clients.push(socket);
  let [got, ended, closed]: [string, boolean, string | null] = ["", false, null];
  socket.on("data", (chunk) => {
    got += chunk;
  });
  socket.on("end", () => {
    ended = true;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    closed = error.code ?? "?";
  });
  socket.on("close", () => {
    closed ??= "closed";
  });
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  return { socket, got: () => got, ended: () => ended, closed: () => closed };
}

const says = (client: Client, text: string) => waitFor(() => client.got() === text, { what: `"${text}"` });
const isClosed = (client: Client) => waitFor(() => client.closed(), { what: "the end of the connection" });

test("delay: everything arrives later, in order, also when the delay ends meanwhile", async () => {
  const client = await connect();
  proxy.delay(200);
  const begun = performance.now();
  client.socket.write("a");
  await says(client, "a");
  expect(performance.now() - begun).toBeGreaterThanOrEqual(395);
  for (const text of ["b", "c", "d"]) {
    client.socket.write(text);
    await sleep(50); // so that each is a chunk of its own
  }
  await says(client, "abcd");
  proxy.delay(30_000);
  client.socket.write("e");
  await sleep(50);
  proxy.delay(0);
  client.socket.write("f");
  await says(client, "abcdef");
});

test("stall: nothing arrives until resume, then all of it", async () => {
  const client = await connect();
  client.socket.write("a");
  await says(client, "a");
  proxy.stall();
  client.socket.write("b");
  await sleep(100);
  expect(client.got()).toBe("a");
  proxy.resume();
  await says(client, "ab");
});

test("throttle: bytes take their time, and a sender that gets nothing through has to wait", async () => {
  const client = await connect();
  proxy.throttle(20_000);
  const begun = performance.now();
  client.socket.write(Buffer.alloc(5_000, "x"));
  await waitFor(() => client.got().length === 5_000, { what: "the bytes" });
  expect(performance.now() - begun).toBeGreaterThanOrEqual(450);
  proxy.heal();
  proxy.stall();
  let written = 0;
  for (let i = 0; i < 1_000; i++) {
    client.socket.write(Buffer.alloc(65_536), () => {
      written += 65_536;
    });
  }
  let before = -1;
  while (before < written) {
    before = written;
    await sleep(500); // long enough to write more, if it could
  }
  expect(written).toBeLessThan(32 * 1024 * 1024);
  proxy.resume();
  await waitFor(() => client.got().length === 5_000 + 1_000 * 65_536, { what: "all of it" });
});

test("cut: both ends see a reset, and new connections work", async () => {
  const client = await connect();
  client.socket.write("a");
  await says(client, "a");
  proxy.cut();
  expect(await isClosed(client)).toBe("ECONNRESET");
  await waitFor(() => atServer[0]!.destroyed, { what: "the reset at the server" });
  await waitFor(() => proxy.open === 0, { what: "the proxy to forget it" });
  const next = await connect();
  next.socket.write("b");
  await says(next, "b");
});

test("halfClose: the client reads the end, and what it writes still reaches the server", async () => {
  const client = await connect();
  client.socket.write("a");
  await says(client, "a");
  let got = "";
  atServer[0]!.on("data", (chunk) => {
    got += chunk;
  });
  proxy.halfClose();
  await waitFor(() => client.ended(), { what: "the half close" });
  client.socket.write("b");
  await waitFor(() => got === "b", { what: "the bytes at the server" });
});

test("freeze and thaw: what was open or opened meanwhile stays dead, what comes after works", async () => {
  const before = await connect();
  proxy.freeze();
  before.socket.write("a");
  const meanwhile = await connect();
  meanwhile.socket.write("b");
  await sleep(50);
  proxy.thaw();
  const after = await connect();
  after.socket.write("c");
  await says(after, "c");
  for (const client of [before, meanwhile]) {
    client.socket.write("d");
    await sleep(50);
    expect([client.got(), client.closed()]).toEqual(["", null]);
  }
});

test("refuse and accept; a server that is down, and up again on its port", async () => {
  proxy.refuse();
  expect(await isClosed(await connect())).toBe("ECONNRESET");
  proxy.accept();
  await stopEcho();
  await isClosed(await connect());
  await startEcho();
  const client = await connect();
  client.socket.write("a");
  await says(client, "a");
  client.socket.end();
  await waitFor(() => client.ended() && proxy.open === 0, { what: "an orderly end" });
});
