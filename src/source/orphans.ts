// Publications that `tail` makes for itself, and how one that was left behind by a SIGKILL is told from one in use:
// whoever uses it holds an advisory lock on its name, which ends with the session.
// https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
import type pg from "pg";
import { dropPublication, PUBLICATION_COMMENT } from "./publication.ts";

export const TAIL_PREFIX = "afterimage_tail_";

const CLASS = "hashtext('afterimage tail')";

/** To be called before the publication is made, on the session that lives as long as it is used. */
export async function holdTailPublication(client: pg.Client, publication: string): Promise<void> {
  await client.query(`SELECT pg_advisory_lock(${CLASS}, hashtext($1))`, [publication]);
}

/** Drops the publications of tails that are gone, as far as this user may; returns their names. */
export async function dropOrphans(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query(
    `SELECT pubname AS name FROM pg_publication p
      WHERE starts_with(pubname, $1) AND obj_description(oid, 'pg_publication') = $2 AND pg_has_role(pubowner, 'USAGE')`,
    [TAIL_PREFIX, PUBLICATION_COMMENT],
  );
  const dropped: string[] = [];
  for (const { name } of rows as { name: string }[]) {
    const locked = await client.query(`SELECT pg_try_advisory_lock(${CLASS}, hashtext($1)) AS free`, [name]);
    if (locked.rows[0].free !== true) continue;
    await dropPublication(client, name);
    await client.query(`SELECT pg_advisory_unlock(${CLASS}, hashtext($1))`, [name]);
    dropped.push(name);
  }
  return dropped;
}
