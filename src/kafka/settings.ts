// What it takes to reach a Kafka cluster.
import type { ConnectionOptions } from "node:tls";
import { AfterimageError } from "../errors.ts";

export type SaslSettings =
  | {
      readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512";
      readonly username: string;
      readonly password: string;
    }
  | { readonly mechanism: "oauthbearer"; readonly oauthBearerProvider: () => Promise<{ value: string }> };

export interface KafkaSettings {
  /** `host:port`, `[v6 address]:port`; port 9092 when left out. */
  readonly brokers: readonly string[];
  readonly clientId: string;
  /** Until a connection is open and authenticated; 5,000 ms by default. */
  readonly connectionTimeoutMs?: number;
  /** Until a reply has come, or a step is given up after retriable errors; 20,000 ms by default. */
  readonly requestTimeoutMs?: number;
  readonly ssl?: ConnectionOptions | boolean;
  readonly sasl?: SaslSettings;
}

export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

export function parseBrokerAddress(text: string): BrokerAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(text.trim());
  const port = Number(match?.[3] ?? 9092);
  if (match === null || port < 1 || port > 65_535) {
    throw new AfterimageError(
      "KAFKA_ADDRESS_INVALID",
      `${JSON.stringify(text)} is not the address of a Kafka broker.`,
      "Write host:port, for example localhost:9092.",
    );
  }
  return { host: (match[1] ?? match[2])!, port };
}

export function formatBrokerAddress({ host, port }: BrokerAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
