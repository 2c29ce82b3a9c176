/** Addresses of Ethereum and the chains like it: `0x` and 20 bytes in hex, whose capitals are a checksum (EIP-55). */
import { keccak_256 } from "@noble/hashes/sha3.js";

const form = /^0x[0-9a-fA-F]{40}$/;

/** With the checksum's capitals; undefined where it is no address or its capitals are mixed and wrong. */
export function canonicalEvm(text: string): string | undefined {
  if (!form.test(text)) return undefined;
  const digits = text.slice(2);
  const lower = digits.toLowerCase();
  const checked = checksummed(lower);
  // Without capitals, or with nothing else, it carries no checksum.
  return digits === checked || digits === lower || digits === digits.toUpperCase() ? `0x${checked}` : undefined;
}

function checksummed(lower: string): string {
  const hash = keccak_256(new TextEncoder().encode(lower));
  let checked = "";
  for (let at = 0; at < lower.length; at++) {
    const byte = hash[at >> 1] ?? 0;
    const nibble = at % 2 === 0 ? byte >> 4 : byte & 15;
    const char = lower.charAt(at);
    checked += nibble >= 8 ? char.toUpperCase() : char;
  }
  return checked;
}
