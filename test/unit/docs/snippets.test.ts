// The documentation's snippets work: YAML is a configuration, commands and flags exist, TypeScript compiles, JSON is
// what the code writes. What they do with servers is tried in test/integration/docs-quick-start.test.ts.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { buildProgram } from "../../../src/cli/program.ts";
import { loadConfig } from "../../../src/config/config.ts";
import { parseEnvelope } from "../../../src/event/envelope.ts";
import { encodeProgress, parseProgress } from "../../../src/event/progress.ts";
import { encodeSchema, parseSchema } from "../../../src/event/schema.ts";
import { type Block, blocksOf, ROOT, readPages } from "./pages.ts";

const pages = readPages();
const blocks = (language: string): [string, Block][] =>
  pages.flatMap((page) =>
    blocksOf(page, language).map((block, at): [string, Block] => [`${page.path}, ${language} ${at + 1}`, block]),
  );

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "afterimage-docs-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test.each(blocks("yaml"))("%s is a configuration", (_, { code }) => {
  const file = join(folder(), "shop.yaml");
  writeFileSync(file, code);
  // Parts are shown alone: what they leave out is given.
  const env = Object.fromEntries(
    [
      ["stream:", "AFTERIMAGE_STREAM", "shop"],
      ["url:", "AFTERIMAGE_POSTGRES_URL", "postgres://cdc@localhost/shop"],
      ["brokers:", "AFTERIMAGE_KAFKA_BROKERS", "localhost:9092"],
    ].flatMap(([key, name, value]) => (code.includes(key!) ? [] : [[name, value]])),
  );
  let problem = null;
  try {
    loadConfig({ file, env });
  } catch (error) {
    problem = (error as { code: string }).code;
  }
  // Certificates and secrets that an example names are not there.
  expect(problem).toBe(/\.pem|\/run\/secrets/.test(code) ? "CONFIG_FILE_UNREADABLE" : null);
});

const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: object };
const program = buildProgram();

/** Lines of a shell block, continued ones joined, without comments. */
const commandsOf = (code: string): string[] =>
  code
    .replaceAll(/\\\n/g, " ")
    .split("\n")
    .flatMap((line) => line.replace(/(^|\s)#.*$/, "").split(/&&|\|\|/))
    .map((line) => line.trim())
    .filter((line) => line !== "");

test.each(blocks("sh"))("%s: commands, flags and scripts exist", (_, { code }) => {
  for (const line of commandsOf(code)) {
    const script = /\bnpm run ([\w:-]+)/.exec(line)?.[1];
    if (script !== undefined) {
      expect(Object.keys(scripts), line).toContain(script);
    }
    const [, name, rest = ""] = /(?:^|\s)afterimage (?!afterimage\b)([a-z]+)(.*)$/.exec(line) ?? [];
    const command = program.commands.find((known) => known.name() === name);
    if (/^afterimage /.test(line)) {
      expect(command, line).toBeDefined();
    }
    for (const [, flag] of command === undefined ? [] : rest.matchAll(/\s(--?[a-z][\w-]*)/g)) {
      const known = command!.options.flatMap(({ long, short }) => [long, short]);
      expect(known, line).toContain(flag);
    }
  }
});

test("TypeScript compiles, under the project's own settings", () => {
  const made = folder();
  const found = blocks("ts");
  expect(found.length).toBeGreaterThan(0);
  found.forEach(([, { code }], at) => {
    writeFileSync(join(made, `snippet-${at}.ts`), code);
  });
  writeFileSync(
    join(made, "tsconfig.json"),
    JSON.stringify({
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions: {
        paths: {
          "afterimage-cdc/sdk": [join(ROOT, "src/sdk/index.ts")],
          "afterimage-cdc/event": [join(ROOT, "src/event/envelope.ts")],
        },
        typeRoots: [join(ROOT, "node_modules/@types")],
        module: "esnext",
        moduleResolution: "bundler",
        moduleDetection: "force",
      },
      include: ["*.ts"],
    }),
  );
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  let said = "";
  try {
    execFileSync(process.execPath, [tsc, "-p", made], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    said = (error as { stdout: string }).stdout;
  }
  expect(said).toBe("");
});

const json = (page: string): string[] =>
  pages.filter(({ path }) => path === page).flatMap((each) => blocksOf(each, "json").map(({ code }) => code));

test("the events that are shown are events", () => {
  for (const text of [...json("README.md"), json("docs/wire-format.md")[0]!]) {
    expect(parseEnvelope(text)).toMatchObject({ v: 1, table: "public.orders", operation: "update" });
  }
  expect(parseEnvelope(json("docs/wire-format.md")[1]!)).toMatchObject({ v: 1, operation: "message" });
});

test("the schema and the progress record that are shown are what the daemon writes", () => {
  const [, , schema, progress] = json("docs/wire-format.md");
  expect(encodeSchema(parseSchema(schema!))).toBe(JSON.stringify(JSON.parse(schema!)));
  expect(encodeProgress(parseProgress(progress!))).toBe(JSON.stringify(JSON.parse(progress!)));
});
