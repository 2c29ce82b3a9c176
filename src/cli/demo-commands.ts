/** What a person can type in the demo. */

/** People that `/as` knows: 1 to this. */
export const personMax = 999;
const countMax = 50_000;
const countDefault = 500;
const slowMaxMs = 10_000;
/** Characters of a message, as at Telegram. */
const textMaxChars = 4_096;

export type Command =
  | { readonly name: "say"; readonly text: string }
  | { readonly name: "as"; readonly person: number }
  | { readonly name: "many"; readonly count: number }
  | { readonly name: "slow"; readonly ms: number }
  | { readonly name: "down" | "up" | "429" }
  | { readonly name: "flood" | "kill" | "status" | "help" | "quit" }
  /** Not understood; `why` is for the person. */
  | { readonly name: "wrong"; readonly why: string };

/** One typed line; undefined where it is blank. */
export function parseCommand(line: string): Command | undefined {
  const text = line.trim();
  if (text === "") return undefined;
  const [first = "", ...rest] = text.split(/\s+/);
  const slashed = first.startsWith("/");
  const word = (slashed ? first.slice(1) : first).toLowerCase();
  if (rest.length === 0 && isPlain(word)) return { name: word };
  if (!slashed) return said(text);
  return rest.length > 1 ? undefinedCommand(first) : withNumber(word, rest[0], first);
}

function said(text: string): Command {
  return text.length <= textMaxChars
    ? { name: "say", text }
    : { name: "wrong", why: `Telegram takes at most ${textMaxChars} characters.` };
}

/** These work without the slash too. */
function isPlain(word: string): word is "kill" | "status" | "help" | "quit" {
  return word === "kill" || word === "status" || word === "help" || word === "quit";
}

function withNumber(word: string, given: string | undefined, typed: string): Command {
  switch (word) {
    case "flood":
    case "down":
    case "up":
    case "429":
      return given === undefined ? { name: word } : undefinedCommand(typed);
    case "as":
      return numberOf(given, { min: 1, max: personMax, command: "/as" }, (person) => ({ name: "as", person }));
    case "many":
      return numberOf(given ?? String(countDefault), { min: 1, max: countMax, command: "/many" }, (count) => ({
        name: "many",
        count,
      }));
    case "slow":
      return numberOf(given, { min: 0, max: slowMaxMs, command: "/slow" }, (ms) => ({ name: "slow", ms }));
    default:
      return undefinedCommand(typed);
  }
}

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly command: string;
}

function numberOf(given: string | undefined, { min, max, command }: Bounds, make: (value: number) => Command): Command {
  const value = Number((given ?? "").replaceAll(/[,_]/g, "") || Number.NaN);
  return Number.isInteger(value) && value >= min && value <= max
    ? make(value)
    : { name: "wrong", why: `${command} takes a number from ${min} to ${max.toLocaleString("en-US")}.` };
}

function undefinedCommand(typed: string): Command {
  return { name: "wrong", why: `There is no such use of ${typed}; help lists what there is.` };
}
