/** Which updates become too old to be answered. Age counts from our receipt, never from `date`. */
import { payloadOf, type Update } from "./ids.ts";

export interface ExpiryLimits {
  /** Age at which an inline query can no longer be answered, ms. */
  readonly inlineQueryMaxMs: number;
  /** The same for shipping and pre-checkout queries, ms. */
  readonly paymentQueryMaxMs: number;
}

/** Messages and callback queries never expire: whatever their age, somebody waits for them. */
export function isExpired(update: Update, ageMs: number, limits: ExpiryLimits): boolean {
  switch (payloadOf(update)?.kind) {
    case "inline_query":
      return ageMs > limits.inlineQueryMaxMs;
    case "shipping_query":
    case "pre_checkout_query":
      return ageMs > limits.paymentQueryMaxMs;
    default:
      return false;
  }
}
