/** Addresses of wallets on the chains that users have: EVM, TON and Solana. */
import { canonicalEvm } from "./wallet-evm.ts";
import { canonicalSolana } from "./wallet-solana.ts";
import { canonicalTon } from "./wallet-ton.ts";

/**
 * The one spelling of an address: two texts that mean the same wallet give the same. Undefined where it is no address of these chains, or
 * its checksum is wrong. No text is an address of two of them.
 */
export function canonicalWallet(text: string): string | undefined {
  return canonicalEvm(text) ?? canonicalTon(text) ?? canonicalSolana(text);
}
