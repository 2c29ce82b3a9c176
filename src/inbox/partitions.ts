/**
 * Which partition of a store an update belongs to. Part of what is stored: a chat that moved to another partition while it has unsettled
 * entries would be handled out of order, so these functions never change.
 *
 * Seqs are numbered partition by partition, `partitions` apart, so that a seq alone tells its partition: with 4 of them partition 1 has
 * the seqs 1, 5, 9, ..., and partition 0 has 4, 8, 12, ... A store with one partition numbers 1, 2, 3, ...
 */
import { type BotId, type LaneKey, type Seq, toSeq } from "../ids.ts";

export function partitionOfLane(bot: BotId, lane: LaneKey, partitions: number): number {
  if (partitions === 1) return 0;
  let hash = mixNumber(0x811c9dc5, bot);
  if (typeof lane === "number") hash = mixNumber(hash, lane);
  else for (let at = 0; at < lane.length; at++) hash = mix(hash, lane.charCodeAt(at));
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % partitions;
}

export function partitionOfSeq(seq: Seq, partitions: number): number {
  return seq % partitions;
}

/** The seq after `seq` in its partition. */
export function seqAfter(seq: Seq, partitions: number): Seq {
  return toSeq(seq + partitions);
}

/** What stands for "none yet" in a partition: the seq after it is the first one. */
export function seqBeforeFirst(partition: number, partitions: number): number {
  return partition === 0 ? 0 : partition - partitions;
}

function mixNumber(hash: number, value: number): number {
  return mix(mix(mix(hash, value | 0), Math.floor(value / 4_294_967_296) | 0), value < 0 ? 1 : 0);
}

/** One round of murmur3, to 32 bits without a sign. */
function mix(hash: number, value: number): number {
  let mixed = Math.imul(value, 0xcc9e2d51);
  mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593) ^ hash;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) >>> 0;
}
