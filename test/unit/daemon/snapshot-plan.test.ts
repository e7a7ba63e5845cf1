// Which tables the operator is told of: those whose older rows no start reads by itself.
import { expect, test } from "vitest";
import { nameLate } from "../../../src/daemon/snapshot-plan.ts";
import { rowEncoder } from "../event/tables.ts";

const table = (name: string, oid: number, publicationRel: number | null) => ({
  ...rowEncoder([["id", "int4"]]).schema,
  table: name,
  oid,
  publicationRel,
});

test("a table that came into the publication since the start is named; one that was always published is not", () => {
  const inForce = [table("public.old", 1, 10), table("public.late", 2, 11), table("public.all", 3, null)];
  expect(nameLate(inForce, new Map([[1, true]]))).toEqual([
    expect.stringMatching(/^Table public\.late .*afterimage snapshot public\.late/),
  ]);
});
