// src/kafka/kafkajs.ts reaches into kafkajs: what it relies on is pinned here.
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { createKafkajsConnection } from "../../../src/kafka/kafkajs.ts";

const require = createRequire(import.meta.url);

test("kafkajs is the version whose inner modules are known", () => {
  const { version, exports } = require("kafkajs/package.json");
  expect({ version, exports }).toEqual({ version: "2.2.4", exports: undefined });
  const { dependencies } = require("../../../package.json");
  expect(dependencies.kafkajs).toBe("2.2.4");
});

test("its connection has the members that are used", () => {
  const connection = createKafkajsConnection({
    host: "127.0.0.1",
    port: 1,
    clientId: "test",
    ssl: null,
    sasl: null,
    connectionTimeout: 1000,
  });
  for (const member of [
    "connect",
    "isConnected",
    "isAuthenticated",
    "authenticate",
    "setVersions",
    "setSupportAuthenticationProtocol",
    "nextCorrelationId",
    "rejectRequests",
  ] as const) {
    expect(connection[member]).toBeTypeOf("function");
  }
  expect(connection.requestQueue.push).toBeTypeOf("function");
  expect(Object.getPrototypeOf(connection.requestQueue).scheduleCheckPendingRequests).toBeTypeOf("function");
});
