// The bank: what is refused, also of many at once and under kills; its page; projections through a stream, one of them later.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { Bank } from "../../src/sample/bank/bank.ts";
import { BALANCES, EVENTS_TABLE, type Projection, TURNOVER } from "../../src/sample/bank/projections.ts";
import { bankServer } from "../../src/sample/bank/server.ts";
import { createConsumer, sqliteStore } from "../../src/sdk/index.ts";
import { bankUnderKills } from "../kills/bank.ts";
import { CapturedStream } from "../support/captured-stream.ts";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { waitFor } from "../support/wait-for.ts";
import { seeded } from "../torture/random.ts";

let database: TestDatabase;
let bank: Bank;
let server: ReturnType<typeof bankServer>;
let address: string;
beforeAll(async () => {
  database = await createDatabase();
  bank = new Bank(database.url);
  server = bankServer(bank).listen(0, "127.0.0.1");
  await once(server, "listening");
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await bank.close();
  await database.drop();
});

const refusal = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: { code: string }) => error.code,
  );

test("deposit, withdraw, transfer, in cents; and how it was before", async () => {
  await bank.deposit("a1", 10_000);
  await bank.withdraw("a1", 1);
  await bank.transfer("a1", "b1", 9_999, "rent");
  expect([await bank.balance("a1"), await bank.balance("b1"), await bank.balance("nobody")]).toEqual([0, 9_999, 0]);
  const history = await bank.history("a1");
  expect(history.map(({ type, data }) => [type, data])).toEqual([
    ["Deposited", { cents: 10_000 }],
    ["Withdrawn", { cents: 1 }],
    ["TransferSent", { cents: 9_999, other: "b1", reference: "rent" }],
  ]);
  expect(await bank.balance("a1", { version: 2 })).toBe(9_999);
  expect(await bank.balance("a1", { time: history[0]!.time })).toBe(10_000);
  // From its own events alone: those of other accounts, and snapshots, may be lost.
  await database.client.query("DELETE FROM afterimage.event_snapshots");
  expect(await bank.balance("b1")).toBe(9_999);
});

test.each([0, -1, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 1e13, "5" as unknown as number])(
  "%d cents are refused everywhere",
  async (cents) => {
    await bank.deposit("a2", 1_000);
    const before = await bank.balance("a2");
    expect(await refusal(bank.deposit("a2", cents))).toBe("AMOUNT_INVALID");
    expect(await refusal(bank.withdraw("a2", cents))).toBe("AMOUNT_INVALID");
    expect(await refusal(bank.transfer("a2", "b2", cents))).toBe("AMOUNT_INVALID");
    expect([await bank.balance("a2"), await bank.balance("b2")]).toEqual([before, 0]);
  },
);

test("more than there is is refused, and so are no accounts", async () => {
  await bank.deposit("a3", 100);
  expect(await refusal(bank.withdraw("a3", 101))).toBe("FUNDS_INSUFFICIENT");
  expect(await refusal(bank.transfer("a3", "b3", 101))).toBe("FUNDS_INSUFFICIENT");
  expect(await refusal(bank.withdraw("nobody", 1))).toBe("FUNDS_INSUFFICIENT");
  expect(await refusal(bank.transfer("a3", "a3", 1))).toBe("ACCOUNT_INVALID");
  expect(await refusal(bank.transfer("a3", "b 3", 1))).toBe("ACCOUNT_INVALID");
  expect(await refusal(bank.deposit("", 1))).toBe("ACCOUNT_INVALID");
  expect([await bank.balance("a3"), await bank.balance("b3")]).toEqual([100, 0]);
});

test("many at once can't spend the same money twice", async () => {
  await bank.deposit("a4", 100);
  const calls = Array.from({ length: 20 }, (_, at) =>
    refusal(at % 2 === 0 ? bank.withdraw("a4", 30) : bank.transfer("a4", "b4", 30)),
  );
  const outcomes = await Promise.all(calls);
  expect(outcomes.filter((outcome) => outcome === "accepted").length).toBe(3);
  expect(outcomes.filter((outcome) => outcome === "FUNDS_INSUFFICIENT").length).toBe(17);
  expect(await bank.balance("a4")).toBe(10);
});

test("over HTTP, with the audit trail as a page that shows what was typed as text", async () => {
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${address}${path}`, { method: "POST", body: JSON.stringify(body) });
    return [response.status, await response.json()];
  };
  expect(await post("/accounts/a5/deposit", { cents: 1234567, reference: "<b>&'" })).toEqual([
    201,
    { account: "a5", cents: 1234567 },
  ]);
  expect(await post("/accounts/a5/transfer", { cents: 5, to: "b5" })).toEqual([201, { account: "a5", cents: 1234562 }]);
  expect(await post("/accounts/a5/withdraw", { cents: 99999999 })).toMatchObject([
    422,
    { error: "FUNDS_INSUFFICIENT" },
  ]);
  expect(await post("/accounts/a5/withdraw", { cents: 0 })).toMatchObject([422, { error: "AMOUNT_INVALID" }]);
  expect(await post("/accounts/a5/withdraw", null)).toMatchObject([422, { error: "EVENT_INVALID" }]);
  expect(await post("/accounts/a5/steal", { cents: 1 })).toMatchObject([422, { error: "EVENT_INVALID" }]);
  expect(await (await fetch(`${address}/accounts/a5?version=1`)).json()).toEqual({ account: "a5", cents: 1234567 });
  expect((await fetch(`${address}/accounts/a5?version=77`)).status).toBe(422);
  expect((await fetch(`${address}/nothing`)).status).toBe(404);
  let [page, from] = ["", 0];
  while (!page.includes("a5")) {
    page = await (await fetch(`${address}/?from=${from}`)).text();
    from = Number(/href="\/\?from=(\d+)"/.exec(page)?.[1] ?? Number.NaN);
  }
  expect(page).toContain("<td>+12345.67</td><td></td><td>&#60;b&#62;&#38;&#39;</td>");
  expect(page).toContain("<td>a5</td><td>2</td><td>TransferSent</td><td>-0.05</td><td>b5</td>");
});

test("under kills: no balance below zero, no torn transfer, no gap, and everything that was told is there", async () => {
  const own = await createDatabase();
  onTestFinished(() => own.drop());
  const seed = randomUUID();
  const report = await bankUnderKills(own.url, own.client, 3, seeded(seed)).catch((cause) => {
    throw new Error(`With seed ${seed}: ${cause.message}`, { cause });
  });
  expect(report).toMatchObject({ kills: expect.any(Number) });
});

test("projections through the stream: one follows, one is added later and built from history", async () => {
  // Events from before the stream come by its snapshot.
  const stream = await CapturedStream.prepare("SELECT 1", {
    AFTERIMAGE_TABLES: EVENTS_TABLE,
    AFTERIMAGE_SNAPSHOT: "initial",
  });
  const folder = mkdtempSync(join(tmpdir(), "afterimage-bank-"));
  const ours = new Bank(stream.database.url);
  onTestFinished(async () => {
    await ours.close();
    await stream.drop();
    rmSync(folder, { recursive: true });
  });
  await ours.deposit("A", 1_000);
  await ours.transfer("A", "B", 300);
  await stream.start();
  const project = (name: string, { setup, handlers }: Projection) => {
    const file = join(folder, `${name}.db`);
    const consumer = createConsumer({
      kafka: { brokers: stream.brokers },
      stream: stream.stream,
      group: name,
      store: sqliteStore(file, { setup }),
    }).register(EVENTS_TABLE, handlers);
    const running = consumer.run();
    let failure: unknown = null;
    running.catch((error) => {
      failure = error;
    });
    onTestFinished(async () => {
      await consumer.stop();
      await running;
    });
    return (sql: string) => {
      if (failure !== null) throw failure;
      const view = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
      try {
        return view
          .prepare(sql)
          .all()
          .map((row) => ({ ...row }));
      } catch (error) {
        if (/no such table/.test(String(error))) return []; // not set up yet
        throw error;
      } finally {
        view.close();
      }
    };
  };
  const balances = project("balances", BALANCES);
  await ours.withdraw("B", 50);
  const ledger = async () => [
    { account: "A", cents: await ours.balance("A") },
    { account: "B", cents: await ours.balance("B") },
  ];
  const inStep = async () => expect(balances("SELECT * FROM balances ORDER BY account")).toEqual(await ledger());
  await waitFor(() => inStep().then(() => true), { what: "the balances" });
  await ours.transfer("B", "A", 250);
  const turnover = project("turnover", TURNOVER);
  await ours.deposit("B", 7);
  await waitFor(() => inStep().then(() => true), { what: "the balances to follow" });
  const totals = "SELECT sum(paid_in) AS paid_in, sum(paid_out) AS paid_out FROM turnover";
  await waitFor(() => expect(turnover(totals)).toEqual([{ paid_in: 1_557, paid_out: 600 }]), {
    what: "the turnover, from the first event on",
  });
});
