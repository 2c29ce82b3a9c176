/** What an update of this kind is worth to Telegram, ms. */
export function retentionMs(kind: string): number {
  switch (kind) {
    case "inline_query":
      return 30_000;
    case "callback_query":
    case "shipping_query":
    case "pre_checkout_query":
      return 150_000;
    case "chosen_inline_result":
      return 600_000;
    default:
      return 24 * 3_600_000;
  }
}
