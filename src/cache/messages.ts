/** What instances tell each other about documents that changed: numbered by sender, so that a lost message is noticed. */
import type { Key } from "./server.ts";

export type Message =
  | { readonly kind: "changed"; readonly sender: string; readonly number: number; readonly changed: readonly Changed[] }
  | { readonly kind: "beat"; readonly sender: string; readonly number: number; readonly generation: string }
  | { readonly kind: "left"; readonly sender: string; readonly number: number };

/** `version` 0: not known. */
export type Changed = readonly [key: Key, version: number];

export function changedText(sender: string, number: number, changed: readonly Changed[]): string {
  return `${sender} ${number} changed ${changed.map(([key, version]) => `${key} ${version}`).join(" ")}`;
}

/** The server writes the generation behind it. */
export function beatText(sender: string, number: number): string {
  return `${sender} ${number} beat `;
}

export function leftText(sender: string, number: number): string {
  return `${sender} ${number} left`;
}

/** Undefined where it is none of ours. */
export function readMessage(text: string): Message | undefined {
  const [sender = "", count = "", kind, ...rest] = text.split(" ");
  const number = Number(count);
  if (!/^[a-z0-9]+$/.test(sender) || !Number.isSafeInteger(number) || number < 1) return undefined;
  switch (kind) {
    case "beat":
      return { kind, sender, number, generation: rest[0] ?? "" };
    case "left":
      return { kind, sender, number };
    case "changed": {
      const changed = changedIn(rest);
      return changed === undefined ? undefined : { kind, sender, number, changed };
    }
    default:
      return undefined;
  }
}

function changedIn(words: readonly string[]): readonly Changed[] | undefined {
  const changed: Changed[] = [];
  for (let at = 0; at < words.length; at += 2) {
    const [key = "", version] = [words[at], Number(words[at + 1])];
    if (key === "" || !Number.isSafeInteger(version)) return undefined;
    changed.push([key, version]);
  }
  return changed;
}
