/** Takes a bot's token out of texts that come from outside. */
import type { Token } from "../ids.ts";
import type { Answer } from "./answers.ts";

export interface Redactor {
  text(text: string): string;
  /** The answer itself where its description is clean. Results are not looked at. */
  answer(answer: Answer): Answer;
}

export function createRedactor(token: Token): Redactor {
  // The part behind the colon is the secret, and it may stand alone where the colon was escaped. A short one (in tests) would also be
  // found inside of words.
  const secret = token.slice(token.indexOf(":") + 1);
  const needle = secret.length >= 16 ? secret : token;
  const text = (dirty: string): string => dirty.replaceAll(needle, "<token>");
  return {
    text,
    answer: (answer) =>
      answer.ok || !answer.description.includes(needle) ? answer : { ...answer, description: text(answer.description) },
  };
}
