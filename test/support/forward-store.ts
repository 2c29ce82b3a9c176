/** A store that passes every call on, so that a test can replace some of them. */
import type { UserStore } from "../../src/storage/store.ts";

export function forwardStore(store: UserStore, replaced: Partial<UserStore> = {}): UserStore {
  return {
    read: (ids) => store.read(ids),
    write: (writes, writer) => store.write(writes, writer),
    reward: (referees, points, at) => store.reward(referees, points, at),
    idOfCode: (code) => store.idOfCode(code),
    byWallet: (address) => store.byWallet(address),
    byDevice: (device, ip, max) => store.byDevice(device, ip, max),
    referralsOf: (referrer, page) => store.referralsOf(referrer, page),
    leaderboard: (max) => store.leaderboard(max),
    histogram: () => store.histogram(),
    activeIn: (bot, page) => store.activeIn(bot, page),
    owedSince: (before, max) => store.owedSince(before, max),
    onState: (changed) => store.onState(changed),
    stop: () => store.stop(),
    ...replaced,
  };
}
