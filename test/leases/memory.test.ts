import { createMemoryLeaseServer, createMemoryLeaseStore } from "../../src/leases/memory.ts";
import { leaseStoreContract } from "../contract/leases.ts";
import { FakeClock } from "../support/fake-clock.ts";

leaseStoreContract("in memory", async () => {
  const clock = new FakeClock();
  const server = createMemoryLeaseServer(() => clock.monotonic());
  return {
    open: () => createMemoryLeaseStore(server),
    pass: (ms) => clock.advance(ms),
    dispose: async () => {},
  };
});
