/** Reads parameters as the Bot API does: a form's text stands for a number, a boolean or JSON. */
import type { Button } from "./chats.ts";
import type { Payload } from "./wire.ts";

/** The integer under `name`; `absent` where there is none. Text that is no number reads as 0. */
export function integer(payload: Payload, name: string, absent: number): number {
  const value = payload[name];
  if (value === undefined || value === "") return absent;
  const number = typeof value === "number" ? value : Number(value);
  return Number.isFinite(number) ? Math.trunc(number) : 0;
}

export function text(payload: Payload, name: string): string {
  const value = payload[name];
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(value) : "";
}

export function flag(payload: Payload, name: string): boolean {
  const value = payload[name];
  return value === true || value === 1 || (typeof value === "string" && /^(true|yes|1)$/i.test(value));
}

/** An object or array, or the JSON text of one; undefined where it is absent or no JSON. */
export function json(payload: Payload, name: string): unknown {
  const value = payload[name];
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    // Telegram ignores such a parameter or refuses the call; to callers here it is absent.
    return undefined;
  }
}

/** `allowed_updates`: undefined leaves the old set, `[]` is the default set. */
export function allowedUpdates(payload: Payload): readonly string[] | undefined {
  const value = json(payload, "allowed_updates");
  if (!Array.isArray(value)) return undefined;
  return value.every((kind) => typeof kind === "string") ? value.map((kind) => kind.toLowerCase()) : undefined;
}

/** The chat a call is about, as a number; undefined for `@name` and where none is named. */
export function chatOf(payload: Payload): number | undefined {
  const value = payload["chat_id"];
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : undefined;
}

const noButtons: readonly (readonly Button[])[] = [];

/** Rows of an inline or reply keyboard. */
export function buttonsOf(payload: Payload): readonly (readonly Button[])[] {
  const markup = json(payload, "reply_markup");
  if (typeof markup !== "object" || markup === null) return noButtons;
  const rows = "inline_keyboard" in markup ? markup.inline_keyboard : "keyboard" in markup ? markup.keyboard : [];
  if (!Array.isArray(rows)) return [];
  return rows.map((row) => (Array.isArray(row) ? row.map(button) : []));
}

function button(value: unknown): Button {
  if (typeof value === "string") return { text: value };
  const of = value as { readonly text?: unknown; readonly callback_data?: unknown };
  const label = typeof of?.text === "string" ? of.text : "";
  return typeof of?.callback_data === "string" ? { text: label, data: of.callback_data } : { text: label };
}
