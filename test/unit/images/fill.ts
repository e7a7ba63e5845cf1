// Writes rows to the images' file that is named until that fails; prints the last sequence stored, and the error.
import { ImageFile } from "../../../src/images/image-file.ts";
import { TableImages } from "../../../src/images/table-images.ts";
import { tableSchema } from "../event/tables.ts";

const ROWS_A_STEP = 200;

const file = ImageFile.open(process.argv[2]!, { stream: "shop", systemId: "7", database: 5, epoch: 1 }, 0);
const images = new TableImages({ table: "public.t", topic: "t" }, file.path, file.table("public.t", "topic"));
const shape = tableSchema([
  ["id", "int4"],
  ["v", "text"],
]);
let stored = 0;
try {
  for (;;) {
    for (let sequence = stored + 1; sequence <= stored + ROWS_A_STEP; sequence++) {
      images.begin(shape, sequence, null);
      images.put(String(sequence), [String(sequence), "x".repeat(500)]);
    }
    file.transaction(() => images.store(stored + ROWS_A_STEP, new Map()), stored + ROWS_A_STEP);
    stored += ROWS_A_STEP;
  }
} catch (error) {
  const { code, advice } = error as { code: string; advice: string };
  process.stdout.write(JSON.stringify({ stored, code, advice }));
}
