import { expect, test } from "bun:test";
import type { Holder, Leases } from "../src/leases/leases.ts";
import { tellingShare } from "../src/main-share.ts";
import { botClaim, partitionClaim } from "./support/claims.ts";
import { toBotId } from "../src/ids.ts";

function createRig() {
  const shares: number[] = [];
  const calls: string[] = [];
  let holder: Holder | undefined;
  const leases: Leases = {
    start: (given) => void (holder = given),
    doubt: () => void calls.push("doubt"),
    stop: async () => void calls.push("stop"),
  };
  const telling = tellingShare(leases, 4, (share) => void shares.push(share));
  const released = Promise.withResolvers<void>();
  telling.start({
    bot: () => ({ changed: () => {}, release: async () => {} }),
    partition: () => ({ changed: () => void calls.push("changed"), release: () => released.promise }),
  });
  if (holder === undefined) throw new Error("not started");
  return { shares, calls, telling, released, holder };
}

test("the share is that of the partitions that this instance has: claimed, until they are lost or have been given back", async () => {
  const { shares, calls, released, holder } = createRig();
  expect(shares).toEqual([1 / 4]);
  let isHeld = true;
  holder.bot(botClaim(toBotId(7)));
  const given = holder.partition(partitionClaim(0));
  const lost = holder.partition(partitionClaim(1, "", () => isHeld));
  lost.changed();
  holder.partition(partitionClaim(2));
  expect(shares.slice(1)).toEqual([1 / 4, 2 / 4, 3 / 4]);
  isHeld = false;
  lost.changed();
  lost.changed();
  const releasing = given.release();
  expect(shares.slice(4)).toEqual([2 / 4]);
  released.resolve();
  await releasing;
  expect(shares.slice(4)).toEqual([2 / 4, 1 / 4]);
  await lost.release();
  expect(shares).toHaveLength(6);
  expect(calls).toEqual(["changed", "changed", "changed"]);
});

test("what is asked of the leases goes through", async () => {
  const { calls, telling } = createRig();
  telling.doubt();
  await telling.stop();
  expect(calls).toEqual(["doubt", "stop"]);
});
