// The settings of the connection to Kafka, as part of the list of all.
import type { Setting } from "./settings.ts";

const FILE = "the path of a file";

export const KAFKA_SETTINGS: readonly Setting[] = [
  {
    path: "kafka.brokers",
    kind: "list",
    flag: "--kafka <host:port,…>",
    expected: "a list of host:port",
    about: "Brokers to ask first.",
    example: "localhost:9092",
  },
  {
    path: "kafka.clientId",
    kind: "text",
    default: "afterimage.<stream>",
    expected: "1 to 200 characters",
    about: "Name of this client in the broker's logs and quotas.",
  },
  {
    path: "kafka.partitions",
    kind: "integer",
    default: "4",
    expected: "a whole number from 1 to 10000",
    about: "Partitions of the topics that the daemon creates.",
  },
  {
    path: "kafka.replicationFactor",
    kind: "integer",
    default: "-1",
    expected: "a whole number from 1 to 100, or -1 for the broker's default",
    about: "Replicas of the topics that the daemon creates.",
  },
  {
    path: "kafka.ssl",
    kind: "boolean",
    default: "false",
    expected: "true, false, or the files ca, cert and key",
    about: "TLS to the brokers; true trusts the system's certificate authorities.",
  },
  { path: "kafka.ssl.ca", kind: "text", expected: FILE, about: "Certificate authorities to trust, PEM." },
  { path: "kafka.ssl.cert", kind: "text", expected: FILE, about: "The client's certificate, PEM; goes with the key." },
  { path: "kafka.ssl.key", kind: "text", expected: FILE, about: "The client's private key, PEM." },
  {
    path: "kafka.sasl.mechanism",
    kind: "text",
    expected: "plain, scram-sha-256 or scram-sha-512",
    about: "How the client proves who it is.",
    example: "scram-sha-512",
  },
  { path: "kafka.sasl.username", kind: "text", expected: "a user name", about: "SASL user.", example: "afterimage" },
  {
    path: "kafka.sasl.password",
    kind: "text",
    expected: "a text, in quotes when it has digits only",
    about: "SASL password.",
    secret: true,
  },
  { path: "kafka.sasl.passwordFile", kind: "text", expected: FILE, about: "File that holds the SASL password." },
];
