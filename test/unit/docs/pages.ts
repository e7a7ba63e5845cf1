// The documentation's pages, and what stands in them: code blocks, links, names in backticks.
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

export interface Page {
  /** Relative to the project. */
  readonly path: string;
  readonly text: string;
}

export interface Block {
  readonly page: string;
  readonly language: string;
  readonly code: string;
}

export function readPages(): Page[] {
  return ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", ...globSync("docs/*.md", { cwd: ROOT }).sort()].map(
    (path) => ({ path, text: readFileSync(`${ROOT}${path}`, "utf8") }),
  );
}

export function blocksOf({ path, text }: Page, language: string): Block[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .map(([, name, code]) => ({ page: path, language: name!, code: code! }))
    .filter((block) => block.language === language);
}

/** What stands in single backticks, outside of code blocks. */
export function namesOf({ text }: Page): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/`([^`\n]+)`/g)].map(([, name]) => name!);
}

/** Targets of links, outside of code blocks. */
export function linksOf({ text }: Page): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
}

/** Anchors of a page's headings, as GitHub makes them. */
export function anchorsOf({ text }: Page): string[] {
  return [...text.replaceAll(/^```[\s\S]*?^```$/gm, "").matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replaceAll(/[^\p{Letter}\p{Number}\s_-]/gu, "")
      .replaceAll(/\s/g, "-"),
  );
}
