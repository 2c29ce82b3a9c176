/** A hash, as field, value, field, value. */
export type Pairs = readonly string[];

export function pairsOf(pairs: Pairs): Map<string, string> {
  const map = new Map<string, string>();
  for (let at = 0; at < pairs.length; at += 2) map.set(pairs[at] ?? "", pairs[at + 1] ?? "");
  return map;
}
