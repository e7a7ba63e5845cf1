// What the catalogue says of a table's rows as a whole, so that it shows afterwards when they were changed, or left out,
// without an event. Nothing here reads a row. https://www.postgresql.org/docs/current/catalogs.html
import type pg from "pg";
import type { RowsState } from "../event/schema.ts";

// A partitioned table holds no rows: whether a column was added with a value stands with its partitions, which may have
// their columns in another order. `own` when the publication names the table itself: then it can't have been UNLOGGED, nor
// its place in it be another one's matter. The xmin of a row of the catalogue is that of the transaction that wrote it
// last, and freezing keeps it.
const READ = `
  SELECT c.oid, c.relfilenode AS file, c.reltoastrelid AS toast, coalesce(cols.hash, '') AS columns,
         coalesce(cols.filled, '[]') AS filled, coalesce(cols.types, '{}') AS types,
         coalesce(cols.names, '{}') AS names,
         CASE WHEN p.puballtables THEN ''
              WHEN EXISTS (SELECT FROM pg_publication_rel pr WHERE pr.prpubid = p.oid AND pr.prrelid = c.oid) THEN 'own'
              ELSE place.hash END AS place,
         CASE WHEN c.relkind = 'p' THEN parts.hash ELSE '' END AS parts,
         coalesce(used.enums, '{}') AS enums, coalesce(used.composites, '{}') AS composites
    FROM pg_class c
    JOIN pg_publication p ON p.oid = $1
    LEFT JOIN LATERAL (
      SELECT array_agg(a.attname) AS filled
        FROM pg_partition_tree(c.oid) t JOIN pg_attribute a ON a.attrelid = t.relid AND a.atthasmissing AND NOT a.attisdropped
    ) below ON c.relkind = 'p'
    LEFT JOIN LATERAL (
      SELECT left(md5(string_agg(concat_ws(':', a.attnum, a.xmin, d.oid, d.xmin), ',' ORDER BY a.attnum)), 16) AS hash,
             json_agg(a.attnum ORDER BY a.attnum) FILTER (WHERE a.atthasmissing OR a.attname = ANY (below.filled)) AS filled,
             json_object_agg(a.attnum, a.atttypid::bigint ORDER BY a.attnum) AS types,
             json_object_agg(a.attnum, a.attname ORDER BY a.attnum) AS names
        FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) cols ON true
    LEFT JOIN LATERAL (
      SELECT left(md5(concat_ws('/',
               (SELECT string_agg(concat(i.inhparent, ':', i.xmin), ',' ORDER BY i.inhrelid)
                  FROM pg_inherits i WHERE i.inhrelid = ANY (above.oids)),
               (SELECT string_agg(concat(d.objid, ':', d.xmin), ',' ORDER BY d.objid)
                  FROM pg_depend d
                 WHERE d.classid = 'pg_class'::regclass AND d.objid = ANY (above.oids) AND d.objsubid = 0
                   AND d.refclassid = 'pg_namespace'::regclass
                   AND NOT EXISTS (SELECT FROM pg_publication_rel pr
                                    WHERE pr.prpubid = p.oid AND pr.prrelid = ANY (above.oids))))), 16) AS hash
        FROM (SELECT array_agg(oid) AS oids
                FROM (SELECT c.oid UNION SELECT relid::oid FROM pg_partition_ancestors(c.oid)) each(oid)) above
    ) place ON true
    LEFT JOIN LATERAL (
      SELECT left(md5(string_agg(concat_ws(':', leaf.oid, leaf.relfilenode, i.inhparent, i.xmin), ',' ORDER BY leaf.oid)), 16) AS hash
        FROM pg_partition_tree(c.oid) t
        JOIN pg_class leaf ON leaf.oid = t.relid JOIN pg_inherits i ON i.inhrelid = t.relid
    ) parts ON c.relkind = 'p'
    LEFT JOIN LATERAL (
      WITH RECURSIVE used(oid) AS (
        SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT inner_type.oid
          FROM used JOIN pg_type t ON t.oid = used.oid
          CROSS JOIN LATERAL (
            SELECT t.typelem UNION SELECT t.typbasetype
            UNION SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION SELECT f.atttypid FROM pg_attribute f
                   WHERE f.attrelid = t.typrelid AND t.typrelid <> 0 AND f.attnum > 0 AND NOT f.attisdropped
          ) inner_type(oid)
         WHERE inner_type.oid >= 16384)
      SELECT (SELECT json_object_agg(one.type, one.labels ORDER BY one.type)
                FROM (SELECT e.enumtypid AS type, json_agg(left(md5(concat(e.oid, ':', e.enumlabel)), 8) ORDER BY e.oid) AS labels
                        FROM pg_enum e JOIN used ON used.oid = e.enumtypid GROUP BY e.enumtypid) one) AS enums,
             (SELECT json_object_agg(one.type, one.attributes ORDER BY one.type)
                FROM (SELECT t.oid AS type, left(md5(string_agg(concat(f.attnum, ':', f.atttypid), ',' ORDER BY f.attnum)), 8) AS attributes
                        FROM used JOIN pg_type t ON t.oid = used.oid AND t.typtype = 'c'
                        JOIN pg_attribute f ON f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped
                       GROUP BY t.oid) one) AS composites
    ) used ON EXISTS (SELECT FROM pg_enum) OR EXISTS (SELECT FROM pg_type WHERE typtype = 'c' AND oid >= 16384)
   WHERE c.oid = ANY ($2)`;

/**
 * By the tables' OIDs; those that are gone are left out. `recorded`: what was recorded of a table last, for the names of
 * columns that were dropped since, which the catalogue does not keep.
 */
export async function readRowsStates(
  client: pg.Client,
  publication: number,
  oids: readonly number[],
  recorded: (oid: number) => RowsState | undefined,
): Promise<ReadonlyMap<number, RowsState>> {
  const { rows } = await client.query(READ, [publication, oids]);
  return new Map(
    rows.map(({ oid, file, toast, columns, filled, types, names, place, parts, composites, enums }) => [
      oid,
      {
        ...{ file, toast, columns, filled, types },
        names: { ...recorded(oid)?.names, ...names },
        ...{ place, parts: parts ?? "", composites, enums },
      },
    ]),
  );
}
