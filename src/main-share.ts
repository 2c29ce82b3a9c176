/** How much of the fleet's updates this instance handles: so much of what all instances together may use is its. */
import type { Leases, PartitionClaim } from "./leases/leases.ts";

/**
 * The same leases; `onShare` is told the part of all partitions that this instance has whenever that changes. It counts a partition from when it is
 * claimed until it is given back or lost, and tells of one at the least: what is sent without any is little.
 */
export function tellingShare(leases: Leases, partitions: number, onShare: (share: number) => void): Leases {
  const owned = new Set<PartitionClaim>();
  const tell = (): void => onShare(Math.max(1, owned.size) / partitions);
  return {
    start(holder) {
      tell();
      leases.start({
        bot: (claim) => holder.bot(claim),
        partition(claim) {
          owned.add(claim);
          tell();
          const tenure = holder.partition(claim);
          return {
            changed() {
              if (claim.lost() && owned.delete(claim)) tell();
              tenure.changed();
            },
            async release() {
              await tenure.release();
              if (owned.delete(claim)) tell();
            },
          };
        },
      });
    },
    doubt: () => leases.doubt(),
    stop: () => leases.stop(),
  };
}
