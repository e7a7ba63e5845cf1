// Turns what zod found into problems a person can act on: the path, what was given (never a secret), what is expected.
import type { z } from "zod";
import { AfterimageError } from "../errors.ts";
import { shown } from "./redact.ts";
import { environmentName, flagName, settingAt } from "./setting-names.ts";
import { SETTINGS, type Setting } from "./settings.ts";
import type { Problem, RawSettings } from "./sources.ts";
import { closest } from "./suggest.ts";

type Issue = z.core.$ZodIssue;

export function toProblems(issues: readonly Issue[], raw: RawSettings): Problem[] {
  return issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => unknownKey([...issue.path, key], raw));
    }
    // `kafka.ssl` may be true or a group; what is wrong inside the group says more than "neither fits".
    if (issue.code === "invalid_union" && isGroup(valueAt(raw.values, issue.path))) {
      const inside = issue.errors.find((alternative) =>
        alternative.some((each) => each.path.length > 0 || "keys" in each),
      );
      if (inside !== undefined) {
        return toProblems(
          inside.map((each) => ({ ...each, path: [...issue.path, ...each.path] })),
          raw,
        );
      }
    }
    return [valueAt(raw.values, issue.path) === undefined ? missing(issue.path) : invalid(issue.path, raw)];
  });
}

/** One error for all problems: the code of the problem when there is one kind, else CONFIG_INVALID. */
export function problemsError(problems: readonly Problem[]): AfterimageError {
  const codes = new Set(problems.map((problem) => problem.code));
  const code = codes.size === 1 ? problems[0]!.code : "CONFIG_INVALID";
  if (problems.length === 1) return new AfterimageError(code, problems[0]!.text, problems[0]!.advice);
  return new AfterimageError(
    code,
    `The configuration has ${problems.length} mistakes:`,
    "Mend each of them; docs/configuration.md lists all settings.",
    { items: problems.map(({ text, advice }) => `${text} ${advice}`) },
  );
}

function unknownKey(path: readonly PropertyKey[], raw: RawSettings): Problem {
  const name = path.join(".");
  const key = String(path.at(-1));
  const paths = SETTINGS.map((setting) => setting.path);
  const groups = paths.flatMap((each) => (each.includes(".") ? [each.slice(0, each.lastIndexOf("."))] : []));
  const known = [...new Set([...paths, ...groups])];
  const siblings = known.filter((each) => parentOf(each) === parentOf(name));
  const meant =
    closest(
      key,
      siblings.map((each) => each.split(".").at(-1)!),
    ) ?? known.find((each) => each.split(".").at(-1) === key);
  const where = raw.origin(path);
  return {
    code: "CONFIG_UNKNOWN_KEY",
    text: `There is no setting ${name}${where === undefined ? "" : ` (${where})`}.`,
    advice:
      meant === undefined
        ? `Known here: ${siblings.map((each) => each.split(".").at(-1)).join(", ")}.`
        : `Did you mean ${meant}?`,
  };
}

function invalid(path: readonly PropertyKey[], raw: RawSettings): Problem {
  const setting = settingAt(path);
  const value = valueAt(raw.values, path);
  const where = raw.origin(path);
  const given = givenText(setting, value);
  return {
    code: "CONFIG_INVALID",
    text: `${path.join(".")}${where === undefined ? "" : ` (${where})`} is ${given}.`,
    advice: `Expected: ${setting?.expected ?? "a group of settings"}.`,
  };
}

function missing(path: readonly PropertyKey[]): Problem {
  const name = path.join(".");
  const setting = settingAt(path);
  const flag = setting === undefined ? undefined : flagName(setting);
  const example = setting?.example ?? "…";
  const inYaml = setting?.kind === "list" ? `["${example}"]` : example;
  const ways = [
    flag === undefined ? undefined : `the flag \`${flag} ${example}\``,
    `the environment variable ${environmentName(name)}`,
    `\`${name.replace(".", ": { ")}: ${inYaml}${name.includes(".") ? " }" : ""}\` in the file given with --config`,
  ].filter((way) => way !== undefined);
  return {
    code: "CONFIG_MISSING",
    text: `${name} is not set.`,
    advice: `Set it with ${ways.slice(0, -1).join(", ")} or ${ways.at(-1)}.`,
  };
}

function givenText(setting: Setting | undefined, value: unknown): string {
  if (setting?.secret) return "set to something else (hidden)";
  // A text in the place of a group (`postgres: …`) may be anything, a URL with its password too.
  if (setting === undefined && typeof value === "string") return "a text";
  return shown(value);
}

const parentOf = (path: string): string => (path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "");

const isGroup = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

function valueAt(values: unknown, path: readonly PropertyKey[]): unknown {
  let node = values;
  for (const key of path) {
    if (typeof node !== "object" || node === null) return undefined;
    node = (node as Record<PropertyKey, unknown>)[key];
  }
  return node;
}
