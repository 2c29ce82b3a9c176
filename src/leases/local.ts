/** Leases of a single instance: it owns everything for ever. The lock on `DATA_DIR` keeps a second instance out. */
import type { BotId } from "../ids.ts";
import type { Claim, Leases, Tenure } from "./leases.ts";

export interface LocalLeasesOptions {
  readonly bots: readonly BotId[];
  /** Of the inbox. */
  readonly partitions: number;
}

/** What nobody can take away. */
export const eternal: Claim = { token: "", valid: () => true, lost: () => false };

export function createLocalLeases({ bots, partitions }: LocalLeasesOptions): Leases {
  let tenures: readonly Tenure[] = [];
  return {
    start(holder) {
      tenures = [
        ...Array.from({ length: partitions }, (_, partition) => holder.partition({ ...eternal, partition })),
        ...bots.map((bot) => holder.bot({ ...eternal, bot })),
      ];
    },
    doubt() {},
    async stop() {
      const asked = tenures;
      tenures = [];
      await Promise.all(asked.map((tenure) => tenure.release()));
    },
  };
}
