/** Updates that a test injects: any JSON, or text that is not even that. */
import type { Update } from "../ids.ts";
import { laneOf, payloadOf } from "../ids.ts";

/** What can be known of an injected update; nothing of it is certain. */
export interface Examined {
  /** "" where it has none. */
  readonly kind: string;
  readonly chat: number | undefined;
  readonly text: string | undefined;
  /** For kinds that a bot answers by id. */
  readonly queryId: string | undefined;
  /** `update_id`, where it is a number. */
  readonly sentId: number | undefined;
}

type Body = Readonly<Record<string, unknown>>;

export function examine(update: unknown): Examined {
  const object = objectOf(update);
  const found = object === undefined ? undefined : payloadOf(object as unknown as Update);
  if (object === undefined || found === undefined) {
    return { kind: "", chat: undefined, text: undefined, queryId: undefined, sentId: numberIn(object) };
  }
  const { kind } = found;
  const lane = laneOf(object as unknown as Update);
  const body: Body = typeof found.payload === "object" && found.payload !== null ? (found.payload as Body) : {};
  const said = body["text"] ?? body["caption"] ?? body["data"];
  return {
    kind,
    chat: typeof lane === "number" ? lane : undefined,
    text: typeof said === "string" ? said : undefined,
    queryId: kind.endsWith("_query") ? String(body["id"]) : undefined,
    sentId: numberIn(object),
  };
}

/** The JSON text that goes out: a text as it is, an object with an `update_id` where it has none. */
export function withId(update: unknown, id: number): string {
  if (typeof update === "string") return update;
  const object = objectOf(update);
  return JSON.stringify(object === undefined || "update_id" in object ? update : { update_id: id, ...object });
}

function numberIn(object: Body | undefined): number | undefined {
  const id = object?.["update_id"];
  return typeof id === "number" ? id : undefined;
}

function objectOf(update: unknown): Body | undefined {
  let value = update;
  if (typeof update === "string") {
    try {
      value = JSON.parse(update);
    } catch {
      // A test may send what is not JSON at all: then nothing is known of it.
      return undefined;
    }
  }
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Body) : undefined;
}
