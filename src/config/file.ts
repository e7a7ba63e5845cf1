// Reads the YAML file. Its messages name line and code only: the parser's own quote the text, which may be a password.
import { LineCounter, parseDocument } from "yaml";
import { AfterimageError } from "../errors.ts";

export interface YamlSettings {
  readonly values: Record<string, unknown>;
  /** 1-based line of the value at a path, where the file has one. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/** Throws CONFIG_SYNTAX with the line of the first mistake. `name` stands for the file in messages. */
export function readYaml(name: string, text: string): YamlSettings {
  const lines = new LineCounter();
  // Without prettyErrors no line of the file ends up in a message; "error" keeps warnings off the terminal.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
  const mistake = document.errors[0] ?? document.warnings[0];
  if (mistake !== undefined) {
    const { line, col } = lines.linePos(mistake.pos[0]);
    throw syntaxError(name, `line ${line}, column ${col} (${mistake.code})`, adviceFor(mistake.code));
  }
  const values = toValues(name, document);
  if (values !== null && (typeof values !== "object" || Array.isArray(values))) {
    throw syntaxError(name, "line 1: settings are expected, such as `stream: shop`", adviceFor(""));
  }
  return {
    values: (values ?? {}) as Record<string, unknown>,
    lineOf(path) {
      const node = document.getIn(path, true) as { range?: readonly number[] } | undefined;
      const start = node?.range?.[0];
      return start === undefined ? undefined : lines.linePos(start).line;
    },
  };
}

function toValues(name: string, document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw syntaxError(name, "an alias (*name) that can't be resolved", adviceFor("BAD_ALIAS"), error);
  }
}

function syntaxError(name: string, where: string, advice: string, cause?: unknown): AfterimageError {
  return new AfterimageError("CONFIG_SYNTAX", `${name} is not valid YAML: ${where}.`, advice, { cause });
}

function adviceFor(code: string): string {
  if (code === "TAG_RESOLVE_FAILED") return 'Put a pattern that starts with ! into quotes: "!public.audit".';
  if (code === "BAD_ALIAS") return 'Put a pattern that starts with * into quotes: "*.*".';
  if (code === "DUPLICATE_KEY") return "Each key may stand once; merge the two.";
  return "Check indentation, brackets and quotes there; `afterimage start --help` shows an example.";
}
