/** What one instance knows of the fleet: from each renewal, and from what it has done itself since. */
import { createHash } from "node:crypto";
import type { Clock } from "../clock.ts";
import { type BotId, toBotId } from "../ids.ts";
import type { Standing, Waited } from "./balance.ts";
import type { ClaimView, FleetMember, FleetView } from "./fleet-view.ts";
import { type ClaimName, epochOf, type MemberId, ownerOf, type Renewal, type StoredMember } from "./store.ts";

export type Kind = "b" | "p";

export interface SightOptions {
  readonly self: MemberId;
  readonly bots: readonly BotId[];
  readonly partitions: number;
  readonly clock: Clock;
  readonly limits: { readonly renewMs: number; readonly ttlMs: number };
}

export class Sight {
  readonly #options: SightOptions;
  /** Of this instance, as the others see it. */
  readonly botSet: string;
  readonly #names: Readonly<Record<Kind, readonly ClaimName[]>>;
  #members = new Map<MemberId, FleetMember>();
  #claims = new Map<string, string>();
  /** Since when each has been seen free, monotonic ms. */
  readonly #freeSince = new Map<ClaimName, number>();
  #run: string | undefined;
  #seen: string | undefined;
  /** Until then who looks dead may only be slower to come back, monotonic ms. */
  #graceUntilMs = 0;

  constructor(options: SightOptions) {
    this.#options = options;
    const bots = options.bots.toSorted((a, b) => a - b);
    this.botSet = createHash("sha1").update(bots.join()).digest("hex").slice(0, 8);
    this.#names = {
      b: bots.map((bot): ClaimName => `b${bot}`),
      p: Array.from({ length: options.partitions }, (_, partition): ClaimName => `p${partition}`),
    };
  }

  /** Of the last renewal; undefined before the first, and where more is known since. */
  get seen(): string | undefined {
    return this.#seen;
  }

  get claims(): ReadonlyMap<string, string> {
    return this.#claims;
  }

  /** `isBack`: after an outage, or at the beginning, which others may be in the middle of. */
  learn({ run, seen, members, claims }: Renewal, isBack: boolean): void {
    const nowMs = this.#options.clock.monotonic();
    if (isBack || run !== this.#run) this.#graceUntilMs = nowMs + this.#options.limits.ttlMs;
    this.#run = run;
    this.#seen = seen;
    if (claims !== undefined) this.#claims = new Map(claims);
    this.#members = new Map(members.map((member) => [member.id, this.#memberOf(member)]));
    for (const name of [...this.#names.b, ...this.#names.p]) this.#watch(name, nowMs);
  }

  /** This instance has taken it, or given it back. */
  changed(name: ClaimName, token: string | undefined): void {
    if (token === undefined) this.#claims.delete(name);
    else this.#claims.set(name, token);
    // A restart could undo it, mark and all: then the next renewal must not say that nothing has changed.
    this.#seen = undefined;
    this.#watch(name, this.#options.clock.monotonic());
  }

  standing(kind: Kind): Standing {
    const members = [...this.#members.values()].filter(
      // A member with other bots could not take what is dealt to it.
      ({ alive, draining, botSet }) => alive && !draining && (kind === "p" || botSet === this.botSet),
    );
    const owners = new Map(
      this.#names[kind].flatMap((name) => {
        const owner = this.#holderOf(name);
        return owner === undefined ? [] : [[name, owner] as const];
      }),
    );
    const { self } = this.#options;
    return { names: this.#names[kind], owners, members: members.map(({ id }) => id), self };
  }

  waited: Waited = (name) => {
    const { clock, limits } = this.#options;
    const nowMs = clock.monotonic();
    return Math.floor((nowMs - (this.#freeSince.get(name) ?? nowMs)) / limits.renewMs);
  };

  /** Dead, and without a claim. */
  forgettable(): MemberId[] {
    if (this.#isGrace()) return [];
    const owners = new Set([...this.#claims.values()].map(ownerOf));
    return [...this.#members.values()].filter(({ id, alive }) => !alive && !owners.has(id)).map(({ id }) => id);
  }

  view(): FleetView | undefined {
    if (this.#run === undefined) return undefined;
    const bots = new Map<BotId, ClaimView>();
    const partitions = new Map<number, ClaimView>();
    for (const [name, token] of this.#claims) {
      const owner = ownerOf(token);
      if (owner === undefined) continue;
      const number = Number(name.slice(1));
      const claim = { owner, epoch: epochOf(token) };
      if (name.startsWith("b")) bots.set(toBotId(number), claim);
      else partitions.set(number, claim);
    }
    return { self: this.#options.self, members: [...this.#members.values()], bots, partitions };
  }

  /** Who has it; undefined where it may be taken. */
  #holderOf(name: ClaimName): MemberId | undefined {
    const token = this.#claims.get(name) ?? "";
    if (token === "") return undefined;
    const owner = ownerOf(token);
    // Not one of ours to judge.
    if (owner === undefined) return token;
    const isDead = this.#members.get(owner)?.alive !== true;
    return isDead && !this.#isGrace() ? undefined : owner;
  }

  #isGrace(): boolean {
    return this.#options.clock.monotonic() < this.#graceUntilMs;
  }

  #watch(name: ClaimName, nowMs: number): void {
    if (this.#holderOf(name) !== undefined) this.#freeSince.delete(name);
    else if (!this.#freeSince.has(name)) this.#freeSince.set(name, nowMs);
  }

  #memberOf({ id, info, leftMs }: StoredMember): FleetMember {
    const { clock, limits } = this.#options;
    const heartbeatAt = leftMs > 0 ? clock.now() - (limits.ttlMs - leftMs) : this.#members.get(id)?.heartbeatAt;
    return { id, ...cardOf(info), alive: leftMs > 0, heartbeatAt };
  }
}

type Card = Pick<FleetMember, "host" | "version" | "startedAt" | "draining" | "botSet" | "info">;

export function cardText(card: Card): string {
  return JSON.stringify(card);
}

/** Of a member that says something else, an older or newer botfleet say, as much as can be read. */
function cardOf(text: string): Card {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    read = undefined;
  }
  const card = (typeof read === "object" && read !== null ? read : {}) as Partial<Record<keyof Card, unknown>>;
  const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
  return {
    host: textOf(card.host),
    version: textOf(card.version),
    startedAt: typeof card.startedAt === "number" ? card.startedAt : 0,
    draining: card.draining === true,
    botSet: textOf(card.botSet),
    info: typeof card.info === "object" && card.info !== null ? (card.info as Card["info"]) : {},
  };
}
