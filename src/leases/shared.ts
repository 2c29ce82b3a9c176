/**
 * The leases of one member of a fleet: it renews each `renewMs`, and at once where something changed; takes what is dealt to it, and gives away
 * what others should have. `store.ts` says how each step can fail.
 *
 *     renew ─► what is lost, what lapsed goes on ─► give back what was released ─► take what is free ─► ask one back where others have fewer
 *
 * One call to the store at a time, so that an answer is never older than what was done after its call.
 * Longer than 150 lines: one loop over one state, and how it ends.
 */
import type { Clock, Timer } from "../clock.ts";
import type { BotId } from "../ids.ts";
import type { Log } from "../log.ts";
import { toGive, toTake } from "./balance.ts";
import type { FleetView } from "./fleet-view.ts";
import { Holdings } from "./holdings.ts";
import type { Holder, Leases } from "./leases.ts";
import { cardText, type Kind, Sight } from "./sight.ts";
import { type ClaimName, type LeaseStore, type MemberId, ownerOf, type Renewal } from "./store.ts";

export interface SharedLeasesOptions {
  readonly store: LeaseStore;
  readonly bots: readonly BotId[];
  /** Of the inbox. */
  readonly partitions: number;
  readonly clock: Clock;
  /** Lower-case letters and digits, never the same twice in the whole fleet. */
  readonly newName: () => string;
  /** Shown to the other instances. */
  readonly host: string;
  readonly version: string;
  /** More that is shown to them: plain data, asked with each renewal; left out where it is too long. Never throws. */
  readonly info?: () => Readonly<Record<string, unknown>>;
  readonly onTold?: (member: MemberId, text: string) => void;
  readonly limits: LeaseLimits;
  readonly log?: Log;
}

export interface LeaseLimits {
  readonly renewMs: number;
  /** Without a renewal for this long a member counts as dead, ms. */
  readonly ttlMs: number;
  /** Without a confirmed renewal for this long nothing is begun, ms: less than `ttlMs`. */
  readonly giveUpMs: number;
  /** Least time between two looks, ms. */
  readonly lookMinMs: number;
  readonly infoMaxChars: number;
}

export interface LeaseCounts {
  readonly taken: number;
  readonly given: number;
  readonly lost: number;
  /** Times that claims were held and could not be confirmed in time. */
  readonly lapses: number;
}

const kinds: readonly Kind[] = ["p", "b"];
/** Renewals in a row after which it is told that nothing else goes well: a connection may be lost between two calls. */
const failuresUntold = 3;

export class SharedLeases implements Leases {
  /** Of this process. */
  readonly member: MemberId;
  readonly #options: SharedLeasesOptions;
  readonly #sight: Sight;
  readonly #startedAt: number;
  #holdings: Holdings | undefined;
  /** Released, and not given back yet. */
  readonly #giving = new Map<ClaimName, string>();
  readonly #counts = { taken: 0, given: 0, lost: 0, lapses: 0 };
  #beganAtMs = 0;
  #sentAtMs = -Infinity;
  #isDraining = false;
  #isOver = false;
  #isPoked = false;
  /** Renewals in a row after which claims could not be taken or given back. */
  #failures = 0;
  /** The claims are read whether they have changed or not. */
  #isDoubtful = false;
  #wake = (): void => {};
  #living: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: SharedLeasesOptions) {
    this.#options = options;
    this.member = options.newName();
    this.#sight = new Sight({ ...options, self: this.member });
    this.#startedAt = options.clock.now();
  }

  start(holder: Holder): void {
    const { clock, limits, log, store, onTold } = this.#options;
    this.#beganAtMs = clock.monotonic();
    const onLapsed = (): void => {
      this.#counts.lapses++;
      log?.warn("the leases could not be renewed in time: nothing new is begun until they are");
    };
    this.#holdings = new Holdings({ holder, clock, giveUpMs: limits.giveUpMs, onLapsed });
    store.start({
      onChanged: (member) => {
        if (member !== this.member) this.#poke();
      },
      onTold: (member, text) => {
        if (member !== this.member) onTold?.(member, text);
      },
      onUsable: () => this.#poke(),
    });
    this.#living = this.#live(this.#holdings);
  }

  doubt(): void {
    this.#isDoubtful = true;
    this.#poke();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** Says `text`, one line, to the other members. It may be lost. */
  tell(text: string): void {
    this.#options.store.tell(this.member, text);
  }

  /** Undefined before the first renewal. */
  fleet(): FleetView | undefined {
    return this.#sight.view();
  }

  counts(): LeaseCounts {
    return { ...this.#counts };
  }

  /** Since when the store has not confirmed the leases, monotonic ms; undefined while it does. */
  lostSince(): number | undefined {
    if (this.#holdings === undefined) return undefined;
    const { clock, limits } = this.#options;
    const atMs = Math.max(this.#beganAtMs, this.#holdings.confirmedAtMs);
    return clock.monotonic() - atMs > 2 * limits.renewMs ? atMs : undefined;
  }

  async #stop(): Promise<void> {
    const holdings = this.#holdings;
    if (holdings === undefined) return;
    const { log, store } = this.#options;
    this.#isDraining = true;
    this.#poke();
    await Promise.all(holdings.all().map(({ name, token }) => this.#release(holdings, name, token)));
    this.#isOver = true;
    this.#poke();
    await this.#living;
    try {
      await store.leave(this.member, this.#giving);
      this.#counts.given += this.#giving.size;
    } catch (error) {
      log?.warn("the leases could not be given back; others take over once they have run out", { error });
    }
    holdings.stop();
    store.stop();
  }

  /** Never rejects. */
  async #live(holdings: Holdings): Promise<void> {
    while (!this.#isOver) {
      await this.#beat(holdings);
      await this.#pause();
    }
  }

  #poke(): void {
    this.#isPoked = true;
    this.#wake();
  }

  /** Until the next renewal is due; not as long where something changed meanwhile. */
  #pause(): Promise<void> {
    const { clock, limits } = this.#options;
    return new Promise((resolve) => {
      let timer: Timer | undefined;
      const wait = (): void => {
        timer?.cancel();
        const ms = this.#isPoked ? limits.lookMinMs : limits.renewMs;
        const leftMs = this.#isOver ? 0 : this.#sentAtMs + ms - clock.monotonic();
        if (leftMs > 0) timer = clock.setTimer(wait, leftMs);
        else {
          this.#wake = () => {};
          resolve();
        }
      };
      this.#wake = wait;
      wait();
    });
  }

  async #beat(holdings: Holdings): Promise<void> {
    const { clock, limits, log, store } = this.#options;
    const sentAtMs = clock.monotonic();
    this.#sentAtMs = sentAtMs;
    this.#isPoked = false;
    const isDoubtful = this.#isDoubtful;
    this.#isDoubtful = false;
    try {
      const renewal = await store.renew({
        member: this.member,
        info: this.#card(),
        ttlMs: limits.ttlMs,
        seen: isDoubtful ? undefined : this.#sight.seen,
        forget: this.#sight.forgettable(),
      });
      this.#learn(renewal, sentAtMs, holdings);
      await this.#giveBack();
      if (!this.#isDraining && holdings.isConfirmed()) {
        await this.#take(holdings);
        this.#moveOn(holdings);
      }
      this.#failures = 0;
    } catch (error) {
      this.#isDoubtful ||= isDoubtful;
      // Else the claims lapse, which is told.
      if (holdings.confirmedAtMs === sentAtMs && ++this.#failures === failuresUntold) {
        log?.warn("claims can neither be taken nor given back, though Redis renews the leases", { error });
      }
      log?.debug("the leases could not be renewed", { error });
    }
  }

  #learn(renewal: Renewal, sentAtMs: number, holdings: Holdings): void {
    const { limits, log } = this.#options;
    const isBack = sentAtMs - holdings.confirmedAtMs > 2 * limits.renewMs;
    const hadLapsed = !holdings.isConfirmed() && holdings.all().length > 0;
    this.#counts.lost += holdings.confirm(sentAtMs, renewal.claims);
    if (hadLapsed && holdings.isConfirmed()) log?.info("the leases are renewed again", { kept: holdings.all().length });
    this.#sight.learn(renewal, isBack);
    if (renewal.claims === undefined) return;
    // Those that were taken together share their token.
    const held = new Map<string, string>(holdings.all().map(({ name, token }) => [name, token]));
    for (const [name, token] of renewal.claims) {
      // Not known here: the answer to a taking was lost, or the store has lost that it was given back.
      if (ownerOf(token) === this.member && held.get(name) !== token) this.#giving.set(name as ClaimName, token);
    }
  }

  async #giveBack(): Promise<void> {
    const giving = new Map(this.#giving);
    if (giving.size === 0) return;
    await this.#options.store.give(this.member, giving);
    this.#counts.given += giving.size;
    for (const [name, token] of giving) {
      if (this.#giving.get(name) === token) this.#giving.delete(name);
      if (this.#sight.claims.get(name) === token) this.#sight.changed(name, undefined);
    }
  }

  async #take(holdings: Holdings): Promise<void> {
    const { store, newName, log } = this.#options;
    const names = kinds.flatMap((kind) => toTake(this.#sight.standing(kind), this.#sight.waited));
    if (names.length === 0) return;
    const claims = new Map(names.map((name) => [name, this.#sight.claims.get(name) ?? ""]));
    const taken = await store.take({ member: this.member, nonce: newName(), claims });
    let fromDead = 0;
    for (const [name, token] of taken) {
      if (claims.get(name) !== "") fromDead++;
      this.#sight.changed(name, token);
      if (this.#isDraining || !holdings.isConfirmed()) {
        this.#giving.set(name, token);
        continue;
      }
      this.#counts.taken++;
      holdings.add(name, token);
    }
    if (fromDead > 0) log?.warn("took over from an instance that is gone", { claims: fromDead });
  }

  #moveOn(holdings: Holdings): void {
    if (this.#isDraining || !holdings.isConfirmed()) return;
    for (const kind of kinds) {
      const held = holdings.all().filter(({ name }) => name.startsWith(kind));
      if (held.some(({ isReleasing }) => isReleasing)) continue;
      const names = held.map(({ name }) => name);
      const name = toGive(this.#sight.standing(kind), names);
      const token = held.find((each) => each.name === name)?.token;
      if (name !== undefined && token !== undefined) void this.#release(holdings, name, token); // Never rejects.
    }
  }

  async #release(holdings: Holdings, name: ClaimName, token: string): Promise<void> {
    if (await holdings.release(name)) this.#giving.set(name, token);
    this.#poke();
  }

  #card(): string {
    const { host, version, info, limits } = this.#options;
    const card = { host, version, startedAt: this.#startedAt, draining: this.#isDraining, botSet: this.#sight.botSet };
    const text = cardText({ ...card, info: info?.() ?? {} });
    return text.length <= limits.infoMaxChars ? text : cardText({ ...card, info: {} });
  }
}
