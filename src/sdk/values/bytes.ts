// bytea, in the hexadecimal form that the daemon's session pins.
import { type Decoder, unreadable } from "./decoder.ts";

const HEX = /^\\x([0-9a-f]{2})*$/;

export const bytes: Decoder<Uint8Array> = {
  decode(text) {
    if (!HEX.test(text)) {
      throw unreadable("bytea");
    }
    return new Uint8Array(Buffer.from(text.slice(2), "hex"));
  },
};
