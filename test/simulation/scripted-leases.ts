/**
 * The leases of a simulated fleet by a script: chance decides who gets what, who is asked for what, and how long a claim of one that is silent lies
 * before it is taken over. It reaches orders that the real leases seldom make, and numbers the claims badly: an epoch may come twice, as from a
 * Redis that lost its last second. (Longer than most files: what Redis holds and what a member knows of it.)
 */
import { limits } from "../../config/limits.ts";
import { Holdings } from "../../src/leases/holdings.ts";
import type { Holder, Leases } from "../../src/leases/leases.ts";
import type { ClaimName } from "../../src/leases/store.ts";
import { sleep } from "../../src/clock.ts";
import type { LeasesWorld, LeasesWorldOptions } from "./fleet-leases.ts";
import type { Process } from "./process.ts";

export function scriptedLeases(options: LeasesWorldOptions): LeasesWorld {
  return new Script(options);
}

class Script implements LeasesWorld {
  readonly options: LeasesWorldOptions;
  /** What stands in Redis. */
  readonly claims = new Map<ClaimName, string>();
  readonly aliveUntilMs = new Map<ScriptedMember, number>();
  lapsed = 0;
  private readonly owners = new Map<ClaimName, ScriptedMember>();
  private readonly names: readonly ClaimName[];
  private isCalm = false;
  /** Who lost it to another one that gives it back soon. */
  private readonly losers = new Map<ClaimName, ScriptedMember>();
  private readonly epochs = new Map<ClaimName, number>();

  constructor(options: LeasesWorldOptions) {
    this.options = options;
    const { bots, partitions } = options;
    this.names = [
      ...bots.map((bot): ClaimName => `b${bot}`),
      ...Array.from({ length: partitions }, (_, partition): ClaimName => `p${partition}`),
    ];
    this.turn();
  }

  present(name: string): string {
    return this.claims.get(name as ClaimName) ?? "";
  }

  join(process: Process): Leases {
    return new ScriptedMember(process, this);
  }

  lapses(): number {
    return this.lapsed;
  }

  calm(): void {
    this.isCalm = true;
  }

  isAlive(member: ScriptedMember): boolean {
    return (this.aliveUntilMs.get(member) ?? 0) > this.options.scheduler.nowMs;
  }

  /** Answers all that stands there. */
  renew(member: ScriptedMember): ReadonlyMap<ClaimName, string> {
    const { scheduler, plant, onRenewed } = this.options;
    onRenewed(member.process);
    this.aliveUntilMs.set(member, scheduler.nowMs + (plant.ttlMs ?? limits.leases.ttlMs));
    return new Map(this.claims);
  }

  give(name: ClaimName, token: string): void {
    if (this.claims.get(name) !== token) return;
    this.claims.delete(name);
    this.owners.delete(name);
    this.options.onGiven(name, token);
  }

  leave(member: ScriptedMember): void {
    this.aliveUntilMs.delete(member);
  }

  private turn(): void {
    const { scheduler } = this.options;
    this.move(scheduler.pick(this.names));
    scheduler.at(scheduler.between(20, 500), () => this.turn());
  }

  private move(name: ClaimName): void {
    const { scheduler, onTakenOver } = this.options;
    const owner = this.owners.get(name);
    if (owner !== undefined && this.isAlive(owner)) {
      if (!this.isCalm && scheduler.chance(0.1))
        scheduler.at(scheduler.between(0, 100), () => void owner.letGo(name), owner.process);
      return;
    }
    // One that is silent may come back: its claims have only lapsed then.
    if (owner !== undefined && scheduler.chance(0.6)) return;
    const members = [...this.aliveUntilMs.keys()].filter((member) => this.isAlive(member) && !member.isStopping);
    if (members.length === 0) return;
    const loser = this.losers.get(name);
    const member = loser !== undefined && members.includes(loser) ? loser : scheduler.pick(members);
    this.losers.delete(name);
    const before = this.claims.get(name);
    const epoch = (this.epochs.get(name) ?? 1) + scheduler.pick([0, 0, 1]);
    this.epochs.set(name, epoch);
    const token = `${epoch}:${scheduler.random()}`;
    this.claims.set(name, token);
    this.owners.set(name, member);
    if (before !== undefined) onTakenOver(name, before);
    if (before !== undefined && owner !== undefined && scheduler.chance(0.5)) this.sendBack(name, owner, member);
    scheduler.at(scheduler.between(0, 300), () => member.got(name, token), member.process);
  }

  /** What was taken from one that was silent is its again, before it knows of the loss or just after. */
  private sendBack(name: ClaimName, loser: ScriptedMember, taker: ScriptedMember): void {
    const { scheduler } = this.options;
    this.losers.set(name, loser);
    const tryBack = (): void => {
      if (this.losers.get(name) !== loser || loser.process.isDead || taker.process.isDead) return;
      if (this.isAlive(loser)) void taker.letGo(name).then(() => this.move(name));
      else scheduler.at(scheduler.between(0, 100), tryBack);
    };
    scheduler.at(scheduler.between(0, 500), tryBack);
  }
}

class ScriptedMember implements Leases {
  readonly process: Process;
  isStopping = false;
  private readonly script: Script;
  private holdings: Holdings | undefined;
  private isOver = false;
  private isRenewing = false;

  constructor(process: Process, script: Script) {
    this.process = process;
    this.script = script;
  }

  start(holder: Holder): void {
    const { clock } = this.process;
    const onLapsed = (): void => void this.script.lapsed++;
    this.holdings = new Holdings({ holder, clock, giveUpMs: limits.leases.giveUpMs, onLapsed });
    void this.keepRenewing();
  }

  doubt(): void {
    void this.renew();
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all((this.holdings?.all() ?? []).map(({ name }) => this.letGo(name)));
    this.isOver = true;
    this.script.leave(this);
  }

  got(name: ClaimName, token: string): void {
    const { holdings, process } = this;
    if (this.isRenewing || holdings?.all().some((held) => held.name === name) === true) {
      // What is answered may be older, and the loss of what it had before is not told yet.
      process.clock.setTimer(() => this.got(name, token), 10);
      return;
    }
    if (this.isStopping || holdings === undefined || !holdings.isConfirmed()) void this.give(name, token);
    else if (this.script.claims.get(name) === token) holdings.add(name, token);
  }

  async letGo(name: ClaimName): Promise<void> {
    const held = this.holdings?.all().find((each) => each.name === name);
    if (held === undefined || (await this.holdings?.release(name)) !== true) return;
    await this.give(name, held.token);
  }

  private async give(name: ClaimName, token: string): Promise<void> {
    const { process, script } = this;
    for (;;) {
      try {
        await script.options.wires.call(process, "write", () => script.give(name, token));
        return;
      } catch {
        await sleep(process.clock, 200);
      }
    }
  }

  private async keepRenewing(): Promise<void> {
    while (!this.isOver) {
      await this.renew();
      await sleep(this.process.clock, limits.leases.renewMs);
    }
  }

  private async renew(): Promise<void> {
    const { process, script, holdings } = this;
    if (this.isRenewing || this.isOver || holdings === undefined) return;
    this.isRenewing = true;
    const { plant, wires } = script.options;
    const sentAtMs = process.clock.monotonic();
    try {
      const claims = await wires.call(process, "write", () => script.renew(this));
      const atMs = plant.countsFromAnswer === true ? process.clock.monotonic() : sentAtMs;
      holdings.confirm(atMs, plant.resumesUnasked === true ? undefined : claims);
    } catch {
      // Asked again.
    } finally {
      this.isRenewing = false;
    }
  }
}
