// The shape of the configuration with its defaults, as zod checks it; what each setting means stands in settings.ts.
import { z } from "zod";
import { parsePostgresUrl } from "./redact.ts";
import { parseTablePattern } from "./table-patterns.ts";
import { parseBytes, parseDuration } from "./units.ts";

const text = z.string().min(1);
const pattern = z.string().refine((value) => parseTablePattern(value) !== undefined);

const duration = (minimum: number, maximum: number) =>
  z
    .string()
    .transform((value) => parseDuration(value) ?? Number.NaN)
    .pipe(z.number().min(minimum).max(maximum));

// YAML gives 4194304 as a number, an environment variable as text.
const bytes = (minimum: number, maximum: number) =>
  z
    .union([z.int(), z.string()])
    .transform((value) => parseBytes(String(value)) ?? Number.NaN)
    .pipe(z.number().min(minimum).max(maximum));

const isBroker = (value: string): boolean => {
  const match = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(value);
  return match !== null && Number(match[1]) >= 1 && Number(match[1]) <= 65_535;
};

const isExactTable = (value: string): boolean => {
  const parsed = parseTablePattern(value);
  return parsed !== undefined && !parsed.exclude && parsed.schema.literal !== null && parsed.table.literal !== null;
};

const ssl = z.strictObject({ ca: text.optional(), cert: text.optional(), key: text.optional() });

const sasl = z.strictObject({
  mechanism: z.enum(["plain", "scram-sha-256", "scram-sha-512"]),
  username: text,
  password: text.optional(),
  passwordFile: text.optional(),
});

export const CONFIG_SCHEMA = z.strictObject({
  stream: z.string().regex(/^[a-z0-9_]{1,40}$/),
  postgres: z
    .strictObject({
      url: z.string().refine((url) => parsePostgresUrl(url) !== undefined),
      standbyUrl: z
        .string()
        .refine((url) => parsePostgresUrl(url) !== undefined)
        .optional(),
      passwordFile: text.optional(),
      slot: z
        .string()
        .regex(/^[a-z0-9_]{1,63}$/)
        .optional(),
      publication: z
        .string()
        .refine((name) => name !== "" && Buffer.byteLength(name) <= 63 && !name.includes("\0"))
        .optional(),
      failover: z.boolean().default(false),
      origin: z.enum(["any", "none"]).default("any"),
      // Below 3 are no transactions of their own.
      acceptPublicationXmin: z.int().min(3).max(0xffff_ffff).optional(),
    })
    .prefault({} as never),
  tables: z
    .array(pattern)
    .refine((patterns) => patterns.some((each) => !each.trim().startsWith("!")))
    .default(["public.*"]),
  keyless: z.array(pattern).default([]),
  snapshot: z.enum(["initial", "never"]).default("initial"),
  onRewrite: z.enum(["snapshot", "halt"]).default("snapshot"),
  snapshotConnections: z.int().min(1).max(16).default(2),
  streaming: z.enum(["on", "off"]).default("off"),
  spoolFolder: text.optional(),
  topics: z
    .record(z.string().refine(isExactTable), z.string().regex(/^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$/))
    .refine((topics) => new Set(Object.values(topics)).size === Object.keys(topics).length)
    .default({}),
  messages: z.strictObject({ prefixes: z.array(text).default([]) }).prefault({}),
  images: z.record(z.string().refine(isExactTable), z.literal("complete")).default({}),
  imagesFile: text.optional(),
  kafka: z
    .strictObject({
      brokers: z.array(z.string().refine(isBroker)).min(1),
      clientId: text.max(200).optional(),
      partitions: z.int().min(1).max(10_000).default(4),
      replicationFactor: z
        .int()
        .min(-1)
        .max(100)
        .refine((factor) => factor !== 0)
        .default(-1),
      ssl: z.union([z.boolean(), ssl]).default(false),
      sasl: sasl.optional(),
    })
    .prefault({} as never),
  admin: z
    .strictObject({
      host: text.default("127.0.0.1"),
      port: z.int().min(0).max(65_535).default(7788),
      hostnames: z.array(text).default([]),
    })
    .prefault({}),
  metrics: z.strictObject({ host: text.optional(), port: z.int().min(0).max(65_535).optional() }).prefault({}),
  startup: z.strictObject({ wait: duration(0, 86_400_000).prefault("60s") }).prefault({}),
  batch: z
    .strictObject({
      maxBytes: bytes(64 * 1024, 256 * 1024 ** 2).prefault("1MiB"),
      linger: duration(0, 20).prefault("5ms"),
    })
    .prefault({}),
  walGuard: z
    .strictObject({
      warn: bytes(1024 ** 2, 1024 ** 5).optional(),
      alert: bytes(1024 ** 2, 1024 ** 5).optional(),
      giveUp: bytes(1024 ** 2, 1024 ** 5).optional(),
    })
    .superRefine(({ warn = 0, alert = warn, giveUp = Number.POSITIVE_INFINITY }, context) => {
      if (alert < warn) context.addIssue({ code: "custom", path: ["alert"] });
      if (giveUp < alert) context.addIssue({ code: "custom", path: ["giveUp"] });
    })
    .prefault({}),
  pidFile: text.optional(),
  log: z
    .strictObject({
      level: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
      format: z.enum(["auto", "json", "pretty"]).default("auto"),
      file: text.optional(),
    })
    .prefault({}),
});

export type ParsedConfig = z.output<typeof CONFIG_SCHEMA>;
