// `afterimage doctor`: prints what was checked, what is wrong, and the remedy.
import { styleText } from "node:util";
import { loadConfig } from "../config/config.ts";
import { type Finding, runDoctor } from "../daemon/doctor.ts";
import { printable } from "../errors.ts";
import { type Flags, sourcesOf } from "./options.ts";
import { EXIT } from "./render-error.ts";

export async function doctor(flags: Flags): Promise<void> {
  const config = loadConfig(sourcesOf(flags));
  const findings = await runDoctor(config, { onWaiting: (line) => process.stderr.write(`${line}\n`) });
  process.stdout.write(flags.json === true ? `${JSON.stringify(findings, null, 2)}\n` : formatFindings(findings));
  const errors = findings.filter(({ severity }) => severity === "error");
  if (errors.length > 0) {
    const unreachable = errors.every(({ code }) => code.endsWith("_UNREACHABLE"));
    process.exitCode = unreachable ? EXIT.unreachable : EXIT.halted;
  }
}

export function formatFindings(findings: readonly Finding[], stream: NodeJS.WriteStream = process.stdout): string {
  const lines = findings.map((finding) => {
    const { code, severity } = finding;
    const what = printable(finding.what);
    const remedy = remedyLines(finding).map(printable).join("\n    ");
    switch (severity) {
      case "ok":
        return `${styleText("green", "✓", { stream })} ${what}\n`;
      case "note":
        return `${styleText("cyan", "·", { stream })} ${styleText("bold", code, { stream })}: ${what}\n  → ${remedy}\n`;
      case "warning":
        return `${styleText("yellow", "!", { stream })} ${styleText("bold", code, { stream })}: ${what}\n  → ${remedy}\n`;
      case "error":
        return `${styleText("red", "✗", { stream })} ${styleText("bold", code, { stream })}: ${what}\n  → ${remedy}\n`;
      default:
        throw severity satisfies never;
    }
  });
  const errors = findings.filter(({ severity }) => severity === "error").length;
  const warnings = findings.filter(({ severity }) => severity === "warning").length;
  const count = (n: number, noun: string) => `${n} ${noun}${n === 1 ? "" : "s"}`;
  const end =
    errors > 0
      ? `${count(errors, "error")} to mend before a start, ${count(warnings, "warning")}.\n`
      : `Ready to start${warnings > 0 ? `, with ${count(warnings, "warning")}` : ""}.\n`;
  return `${lines.join("")}${end}`;
}

/** Each step of the remedy on a line of its own, to be pasted; what is said between them on others. */
export function remedyLines({ remedy, steps }: Finding): string[] {
  const lines: string[] = [];
  let rest = remedy;
  for (const { kind, text } of steps) {
    const at = kind === "restart" ? -1 : rest.indexOf(text);
    if (at < 0) continue;
    lines.push(rest.slice(0, at).trim(), text);
    rest = rest.slice(at + text.length).replace(/^[,)]/, "");
  }
  return [...lines, rest.trim()].filter((line) => line !== "");
}
