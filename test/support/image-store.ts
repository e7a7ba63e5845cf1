// The images' store of one table, without servers.
import { ImageFile } from "../../src/images/image-file.ts";
import { Images } from "../../src/images/images.ts";
import { TableImages } from "../../src/images/table-images.ts";

export const IMAGED = { table: "public.t", topic: "shop.public.t" };

/** A store that can be killed and opened again. */
export class ImageStore {
  readonly #path: string;
  #file!: ImageFile;
  table!: TableImages;
  images!: Images;

  constructor(path: string) {
    this.#path = path;
    this.open();
  }

  open(): void {
    const identity = { stream: "shop", systemId: "7", database: 5, epoch: 1 };
    this.#file = ImageFile.open(this.#path, identity, Number.MAX_SAFE_INTEGER);
    this.table = new TableImages(IMAGED, this.#path, this.#file.table(IMAGED.table, "topic"));
    this.images = new Images(this.#file, new Map([[IMAGED.table, this.table]]));
  }

  close(): void {
    this.#file.close();
  }
}
