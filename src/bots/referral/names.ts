/** Names of people, as far as others may see them. */

const shownMaxChars = 32;
/** Telegram's own names have 64; nothing beyond this is looked at. */
const readMaxUnits = 256;
/**
 * What would break a line, turn the rest of a message around or hide something: control characters, line separators, marks and overrides of
 * direction, invisible ones. Joiners stay, which emoji and some scripts are made of.
 */
const unsafe = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]+/gu;
/** What a name may hold and nobody sees: a name of these alone is none. */
const unseen = /[\p{Default_Ignorable_Code_Point}\u2800\s]+/gu;
/** Accents piled up over other lines. */
const piled = /(\p{M}{3})\p{M}+/gu;

/** The name on one line, at most 32 characters, valid Unicode; `otherwise` where nothing is left of it. For plain text, without markup. */
export function shownName(name: string, otherwise: string): string {
  const clean = name
    .slice(0, readMaxUnits)
    .toWellFormed()
    .replace(unsafe, " ")
    .replace(piled, "$1")
    .replace(/\s+/g, " ")
    .trim();
  if (clean.replace(unseen, "") === "") return otherwise;
  if (clean.length <= shownMaxChars) return clean;
  const chars = Array.from(clean);
  return chars.length <= shownMaxChars ? clean : `${chars.slice(0, shownMaxChars - 1).join("")}…`;
}
