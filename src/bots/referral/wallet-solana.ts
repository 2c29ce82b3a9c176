/** Addresses of Solana: 32 bytes in base58. They carry no checksum; what has another length or character is none. */
import { base58 } from "@scure/base";

const form = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/;
const bytesOfAddress = 32;

/** As it is, since 32 bytes have one spelling; undefined where it is no address. */
export function canonicalSolana(text: string): string | undefined {
  return form.test(text) && base58.decode(text).length === bytesOfAddress ? text : undefined;
}
