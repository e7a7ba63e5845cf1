// The documentation against the code, both ways: settings, commands and error codes.
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { buildProgram } from "../../../src/cli/program.ts";
import { EXIT } from "../../../src/cli/render-error.ts";
import { environmentName, flagName } from "../../../src/config/setting-names.ts";
import { SETTINGS } from "../../../src/config/settings.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const read = (path: string) => readFileSync(`${root}${path}`, "utf8");

test("every setting stands in configuration.md with its variable, flag and default, and no other does", () => {
  const rows = read("docs/configuration.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split(" | ")
        .slice(0, 4)
        .map((cell) => cell.replaceAll(/[|`]/g, "").trim()),
    );
  expect(rows).toEqual(
    SETTINGS.map((setting) => [
      setting.path,
      environmentName(setting.path),
      flagName(setting) ?? "",
      setting.default ?? "",
    ]),
  );
});

test("every command and exit code stands in cli.md", () => {
  const text = read("docs/cli.md");
  for (const { name } of buildProgram().commands.map((command) => ({ name: command.name() }))) {
    expect(text).toContain(`afterimage ${name}`);
  }
  const documented = [...text.matchAll(/^\| (\d) \|/gm)].map((match) => Number(match[1]));
  expect(documented).toEqual([...new Set(Object.values(EXIT))].sort());
});

test("every error code stands in errors.md, and every code there is in the code", () => {
  const documented = new Set(
    [...read("docs/errors.md").matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|USAGE|INTERNAL)`/g)].map((match) => match[1]!),
  );
  const sources = [...globSync("src/**/*.ts", { cwd: root }), "bin/afterimage.js"].map(read).join("\n");
  // A code is the first argument of whatever makes an error or a finding.
  const raised = [
    ...sources.matchAll(
      /(?:AfterimageError|problem|warning|note|halt|failure|invalid|unreachable|NoReply)\(\s*"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)",/g,
    ),
  ].map((match) => match[1]!);
  expect([...new Set(raised)].filter((code) => !documented.has(code))).toEqual([]);
  expect([...documented].filter((code) => !sources.includes(code))).toEqual([]);
});
