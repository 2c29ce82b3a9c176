/** Looks into the inbox of a fleet from outside, as it stands in Redis. */
import { readMeta } from "../../src/inbox/redis-group.ts";
import { base } from "../../src/redis/keys.ts";
import type { StoredLetter, StoredUpdate } from "../support/inbox-file.ts";
import type { LiveRedis } from "./redis-server.ts";

/** One unsettled update. */
export interface PartitionedUpdate extends StoredUpdate {
  readonly partition: number;
}

type Row = readonly [id: string, fields: readonly string[]];

/** By partition, in the order of their arrival. */
export async function unsettledIn(redis: LiveRedis): Promise<readonly PartitionedUpdate[]> {
  const partitions = Number(await redis.command("HGET", `${base}meta`, "partitions"));
  const streams = Array.from({ length: partitions }, (_, k) => rowsOf(redis, `e${k}`));
  return (await Promise.all(streams)).flatMap((rows, partition) =>
    rows.map(([id, fields]) => {
      const { bot, updateId = 0, lane } = readMeta(valueIn(fields, "m"));
      const update = JSON.parse(valueIn(fields, "t")) as { readonly message?: { readonly text?: string } } | null;
      return { partition, seq: Number.parseInt(id), bot, updateId, lane, text: update?.message?.text ?? null };
    }),
  );
}

export async function lettersIn(redis: LiveRedis): Promise<readonly StoredLetter[]> {
  return (await rowsOf(redis, "letters")).map(([, fields]) => {
    const { bot, updateId = null, lane } = readMeta(valueIn(fields, "m"));
    const [attempts, effectsUnknown] = [Number(valueIn(fields, "a")), Number(valueIn(fields, "u"))];
    return { bot, updateId, lane, attempts, effectsUnknown, error: valueIn(fields, "e"), body: valueIn(fields, "t") };
  });
}

async function rowsOf(redis: LiveRedis, name: string): Promise<readonly Row[]> {
  return (await redis.command("XRANGE", base + name, "-", "+")) as readonly Row[];
}

/** `fields`: name and value, one after another. */
function valueIn(fields: readonly string[], name: string): string {
  return fields[fields.indexOf(name) + 1] ?? "";
}
