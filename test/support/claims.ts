/** Claims as a test wants them: eternal, or lost as soon as it says so. */
import type { BotId } from "../../src/ids.ts";
import type { BotClaim, PartitionClaim } from "../../src/leases/leases.ts";

export function botClaim(bot: BotId, isHeld: () => boolean = () => true): BotClaim {
  return { bot, token: "", valid: isHeld, lost: () => !isHeld() };
}

export function partitionClaim(partition = 0, token = "", isHeld: () => boolean = () => true): PartitionClaim {
  return { partition, token, valid: isHeld, lost: () => !isHeld() };
}
