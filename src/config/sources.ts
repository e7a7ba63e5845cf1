// Where settings come from: a YAML file, the environment over it, flags over both. Gives one tree of raw values and,
// for messages, the place each came from.
import { readFileSync } from "node:fs";
import { AfterimageError, messageOf } from "../errors.ts";
import { readYaml } from "./file.ts";
import { environmentName, flagName } from "./setting-names.ts";
import { SETTINGS, type Setting } from "./settings.ts";
import { closest } from "./suggest.ts";

export interface ConfigSources {
  /** Path of a YAML file. Without it, none is read. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Path of a setting (`postgres.url`) to the text after its flag. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

/** One thing wrong with the configuration. Never holds a secret. */
export interface Problem {
  readonly code: "CONFIG_UNKNOWN_KEY" | "CONFIG_INVALID" | "CONFIG_MISSING";
  readonly text: string;
  readonly advice: string;
}

export interface RawSettings {
  readonly values: Record<string, unknown>;
  /** Where the value at a path was set, for people: `AFTERIMAGE_TABLES`, `afterimage.yaml line 4`. */
  origin(path: readonly PropertyKey[]): string | undefined;
  readonly problems: readonly Problem[];
}

export function readSources({ file, env, flags = {} }: ConfigSources): RawSettings {
  const yaml = file === undefined ? { values: {}, lineOf: () => undefined } : readYaml(file, readText(file));
  const values = yaml.values as Record<string, unknown>;
  const origins = new Map<string, string>();
  const problems = unknownVariables(env);
  for (const setting of SETTINGS) {
    const variable = environmentName(setting.path);
    // An empty variable is what `${X:-}` in a compose file gives for one that isn't set.
    const fromEnv = env[variable] === "" ? undefined : env[variable];
    const fromFlag = flags[setting.path];
    const given = fromFlag ?? fromEnv;
    if (given === undefined) continue;
    assign(values, setting.path.split("."), fromText(setting, given));
    origins.set(setting.path, fromFlag === undefined ? variable : (flagName(setting) ?? setting.path));
  }
  return {
    values,
    problems,
    origin(path) {
      for (let length = path.length; length > 0; length--) {
        const origin = origins.get(path.slice(0, length).join("."));
        if (origin !== undefined) return origin;
      }
      const line = yaml.lineOf(path);
      return line === undefined ? undefined : `${file} line ${line}`;
    },
  };
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? messageOf(error);
    throw new AfterimageError(
      "CONFIG_FILE_UNREADABLE",
      `The configuration file ${file} can't be read (${code}).`,
      "Check the path given with --config or AFTERIMAGE_CONFIG, and that this user may read the file.",
      { cause: error },
    );
  }
}

// Only near misses of a known name are refused: Kubernetes and Docker put variables of their own beside ours.
function unknownVariables(env: ConfigSources["env"]): Problem[] {
  const known = ["AFTERIMAGE_CONFIG", ...SETTINGS.map((setting) => environmentName(setting.path))];
  const problems: Problem[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("AFTERIMAGE_") || value === "" || known.includes(name)) continue;
    const meant = closest(name, known);
    if (meant !== undefined) {
      problems.push({
        code: "CONFIG_UNKNOWN_KEY",
        text: `There is no environment variable ${name}.`,
        advice: `Did you mean ${meant}?`,
      });
    }
  }
  return problems;
}

function assign(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let node = target;
  for (const key of path.slice(0, -1)) {
    const next = node[key];
    // A scalar in the way (`kafka.ssl: true` in the file, `AFTERIMAGE_KAFKA_SSL_CA` over it) gives way.
    if (typeof next !== "object" || next === null || Array.isArray(next)) node[key] = {};
    node = node[key] as Record<string, unknown>;
  }
  node[path.at(-1)!] = value;
}

function fromText(setting: Setting, text: string): unknown {
  const { kind } = setting;
  switch (kind) {
    case "text":
      return text;
    case "integer":
      return /^\s*-?\d{1,15}\s*$/.test(text) ? Number(text) : text;
    case "boolean":
      return text === "true" ? true : text === "false" ? false : text;
    case "list":
      return splitList(text);
    case "map":
      return Object.fromEntries(
        splitList(text).map((item) => {
          const equals = item.lastIndexOf("=");
          return [item.slice(0, equals).trim(), item.slice(equals + 1).trim()];
        }),
      );
    default:
      return kind satisfies never;
  }
}

/** Splits at commas outside double quotes, so that `"a,b".*` stays one pattern. */
function splitList(text: string): string[] {
  const items = text.match(/(?:"(?:[^"]|"")*"|[^",]|")+/g) ?? [];
  return items.map((item) => item.trim()).filter((item) => item !== "");
}
