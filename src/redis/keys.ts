/** Beginning of every key of the inbox and the leases: the one shard that there is now, on one node of a cluster. */
export const base = "botfleet:inbox:{s0}:";
