// Room on this machine's disks: a log that can't be written leaves an operator blind, a full spool ends the session.
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import { type Finding, warning } from "../source/finding.ts";

const MIB = 1024 ** 2;
const LEAST_BYTES = 256 * MIB;

/** Codes: DISK_LOW. A folder that isn't there is named when it is written to. */
export async function checkDisks({
  log,
  pidFile,
  spoolFolder = null,
}: Pick<Config, "log" | "pidFile"> & Partial<Pick<Config, "spoolFolder">>): Promise<Finding[]> {
  const files = [log.file, pidFile].filter((file) => file !== null);
  const folders = new Set([...files.map((file) => dirname(file)), ...(spoolFolder === null ? [] : [spoolFolder])]);
  const findings: Finding[] = [];
  for (const folder of folders) {
    try {
      const { bavail, bsize } = await statfs(folder);
      findings.push(...judgeRoom(folder, bavail * bsize));
    } catch {
      // It may be made before the start; what can't be written then has its own error.
    }
  }
  return findings;
}

/** Pure. */
export function judgeRoom(folder: string, freeBytes: number): Finding[] {
  if (freeBytes >= LEAST_BYTES) return [];
  return [
    warning(
      "DISK_LOW",
      `The disk of ${folder} has ${Math.floor(freeBytes / MIB)} MB left: soon nothing can be written there.`,
      "Make room there, or name another one in log.file, pidFile or spoolFolder.",
    ),
  ];
}
