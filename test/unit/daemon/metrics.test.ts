// What Prometheus reads: every metric of the list, in its format, whatever a table is named; and its documentation, alert
// rules and dashboard, which name no metric, label or state that is not there.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { METRICS, renderMetrics } from "../../../src/daemon/metrics.ts";
import { STATES } from "../../../src/daemon/status.ts";
import { statusWith, unknownStatus } from "../../support/daemon-status.ts";

const read = (path: string) => readFileSync(new URL(`../../../docs/${path}`, import.meta.url), "utf8");
const PAGE = read("metrics.md");
const ALERTS = read("monitoring/alerts.yml");
const DASHBOARD = read("monitoring/grafana-dashboard.json");

/** Lines of samples: `name{label="…"} value`. */
const samplesOf = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("every metric has a sample of each label's values, with the stream", async () => {
  const { contentType, text } = await renderMetrics(statusWith());
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  const samples = samplesOf(text);
  for (const { name, kind, help } of METRICS) {
    expect(
      samples.some((line) => line.startsWith(`${name}{`)),
      name,
    ).toBe(true);
    expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`);
  }
  expect(samples.filter((line) => !line.includes('stream="shop"'))).toEqual([]);
  for (const line of [
    'afterimage_state{state="snapshotting",stream="shop"} 1',
    'afterimage_state{state="streaming",stream="shop"} 0',
    'afterimage_sequence{stream="shop"} 4711',
    'afterimage_last_commit_timestamp_seconds{stream="shop"} 1795370430.5',
    'afterimage_lag_bytes{stream="shop"} 1258291',
    'afterimage_table_events_published_total{table="public.orders",stream="shop"} 4000',
    'afterimage_kafka_transaction_seconds_total{stream="shop"} 0.2',
    'afterimage_wal_level{level="warn",stream="shop"} 1',
    'afterimage_wal_limit_bytes{level="give-up",stream="shop"} 100000000',
    'afterimage_wal_left_seconds{stream="shop"} 32768',
    'afterimage_snapshot_rows{table="public.items",stream="shop"} 700',
    'afterimage_errors_total{code="KAFKA_UNREACHABLE",stream="shop"} 2',
    'afterimage_standby_daemons{stream="shop"} 1',
  ]) {
    expect(samples).toContain(line);
  }
});

test("what is not known has no sample", async () => {
  const samples = samplesOf((await renderMetrics(unknownStatus())).text);
  const names = new Set(samples.map((line) => line.slice(0, line.indexOf("{"))));
  const always = METRICS.map(({ name }) => name).filter(
    (name) => !/lag|sequence|epoch|commit|table_|messages|wal_(?!limit)|snapshot_|standby|errors/.test(name),
  );
  expect([...names].sort()).toEqual([...always].sort());
  expect(samples.filter((line) => line.includes("give-up"))).toEqual([]);
});

test("a table's name can't make a sample of its own", async () => {
  const table = 'public."x"} 1\nafterimage_lag_seconds{stream="shop"} 0 \\';
  const { text } = await renderMetrics(statusWith({ tables: [{ table, topic: "t", events: 7 }] }));
  const lines = samplesOf(text).filter((line) => line.includes("table_events"));
  expect(lines).toEqual([
    String.raw`afterimage_table_events_published_total{table="public.\"x\"} 1\nafterimage_lag_seconds{stream=\"shop\"} 0 \\",stream="shop"} 7`,
  ]);
  expect(samplesOf(text).filter((line) => line.startsWith("afterimage_lag_seconds"))).toHaveLength(1);
});

test("names follow the conventions, and each is there once", () => {
  expect(new Set(METRICS.map(({ name }) => name)).size).toBe(METRICS.length);
  for (const { name, kind, help } of METRICS) {
    expect(name).toMatch(/^(afterimage|process)_[a-z_]+$/);
    expect(name.endsWith("_total"), name).toBe(kind === "counter");
    expect(help).toMatch(/\.$/);
  }
});

test("docs/metrics.md has the same list", () => {
  const rows = PAGE.split("\n").filter((line) => /^\| `(afterimage|process)_/.test(line));
  expect(rows).toEqual(
    METRICS.map(({ name, kind, labels, help }) => {
      const named = labels.map((label) => `\`${label}\``).join(", ");
      return `| \`${name}\` | ${kind} | ${named} | ${help} |`;
    }),
  );
});

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}
const rules = (parse(ALERTS) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);

interface Panel {
  readonly title: string;
  readonly description: string;
  readonly targets: readonly { readonly expr: string }[];
}
const panels = (JSON.parse(DASHBOARD) as { panels: Panel[] }).panels;

const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, expr] as const)),
];

test.each(expressions)("%s asks for metrics and labels that are there: %s", (_, expr) => {
  const asked = [...expr.matchAll(/\b(?:afterimage|process)_\w+/g)].map(([name]) => name);
  expect(asked.length).toBeGreaterThan(0);
  const known = asked.map((name) => METRICS.find((metric) => metric.name === name));
  expect(known, expr).not.toContain(undefined);
  const labels = ["stream", "instance", ...known.flatMap((metric) => metric!.labels)];
  const grouped = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names]) => names!.split(/, ?/));
  const selected = [...expr.matchAll(/(\w+)\s*=~?\s*"/g)].map(([, name]) => name!);
  expect([...grouped, ...selected].filter((label) => !labels.includes(label))).toEqual([]);
  const states = [...expr.matchAll(/\bstate=~?"([^"]*)"/g)].flatMap(([, names]) => names!.split("|"));
  expect(states.filter((state) => !(STATES as readonly string[]).includes(state))).toEqual([]);
  // Several series of one stream, of a standby daemon or after a restart, must not make one alert or line twice.
  expect(expr).toMatch(/\bby \(stream/);
});

test("each alert says what is wrong and what to do, and stands in docs/metrics.md with its severity", () => {
  for (const { annotations } of rules) {
    expect(annotations.summary.length).toBeGreaterThan(20);
    expect(annotations.description.length).toBeGreaterThan(40);
  }
  const listed = [...PAGE.matchAll(/^\| `(Afterimage\w+)` \|.*\| (\w+) \|$/gm)].map(([, name, severity]) => [
    name,
    severity,
  ]);
  expect(listed).toEqual(rules.map(({ alert, labels }) => [alert, labels.severity]));
});

test("each panel says what it shows", () => {
  expect(panels.filter(({ description }) => description.length < 15)).toEqual([]);
});
