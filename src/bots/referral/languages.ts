/** The languages of the bot. A new one is a file in messages/ and a line here. */
import { createKeyboards, type Keyboards } from "./keyboards.ts";
import { en } from "./messages/en.ts";
import type { Messages } from "./messages/messages.ts";
import { ru } from "./messages/ru.ts";

/** Of a language in ISO 639, without region or script. */
const languageMaxChars = 3;

export interface Language {
  readonly words: Messages;
  readonly keyboards: Keyboards;
}

/** The language for a `language_code` such as `ru` or `ru-RU`; English for all that there is no file for. */
export type Languages = (code: string | undefined) => Language;

export function createLanguages(): Languages {
  const english = languageOf(en);
  const others = new Map<string, Language>([["ru", languageOf(ru)]]);
  return (code) => {
    if (code === undefined || code === "en") return english;
    return others.get(code.slice(0, codeChars(code)).toLowerCase()) ?? english;
  };
}

function languageOf(words: Messages): Language {
  return { words, keyboards: createKeyboards(words) };
}

function codeChars(code: string): number {
  const end = code.search(/[-_]/);
  return Math.min(end < 0 ? code.length : end, languageMaxChars);
}
