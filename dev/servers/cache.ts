// Where unpacked server programs are kept between runs. Filled beside it and renamed: two starters cannot meet half a copy.
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { codeOf, run } from "./process.ts";

const NAME = "afterimage-cdc";

/** Root's home is closed to other users, and Postgres must run as another user when started by root. */
function candidates(): string[] {
  const home = process.getuid?.() === 0 ? "/var/cache" : (process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"));
  return [join(home, NAME), join(tmpdir(), `${NAME}-${process.getuid?.() ?? "cache"}`)];
}

async function cacheFolder(): Promise<string> {
  const [first, second] = candidates() as [string, string];
  for (const folder of [first, second]) {
    try {
      await mkdir(folder, { recursive: true });
      await access(folder, 2 /* W_OK */);
      return folder;
    } catch (error) {
      if (folder === second || !["EACCES", "EROFS", "EPERM", "ENOTDIR"].includes(codeOf(error) ?? "")) throw error;
    }
  }
  return second;
}

/** The folder `name` of the cache, readable by every user; `fill` makes it the first time. */
export async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const root = await cacheFolder();
  const target = join(root, name);
  try {
    await access(target);
    return target;
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  const staging = await mkdtemp(join(root, `.${name}-`));
  try {
    await fill(staging);
    await run("chmod", ["-R", "a+rX", staging]);
    await run("chmod", ["a+rx", root]);
    await rename(staging, target);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    if (codeOf(error) !== "ENOTEMPTY" && codeOf(error) !== "EEXIST") throw error; // another starter was faster
  }
  return target;
}
