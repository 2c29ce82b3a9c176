/**
 * Judges several instances, claim by claim: what was done under a claim may be done again only if another one took its place before it was given back
 * (its process died, stood still, or could not reach Redis for too long), or if Telegram's answer never came. After an orderly hand-over, or a
 * lapse after which the claim went on, nothing may be repeated.
 */
import type { Claim } from "../../src/leases/leases.ts";
import type { Group } from "../../src/inbox/store.ts";
import { Oracle, type PlanKind, textsOf } from "./oracle.ts";

/** A claim on `b<bot>` or `p<partition>`, as the instance has it. */
export interface Held {
  readonly name: string;
  readonly claim: Claim;
}

export class InstancesOracle extends Oracle {
  /** Times that a claim was taken from an owner that had not given it back, and that one was given back in order. */
  takenOver = 0;
  handedOver = 0;
  /** Token that stands in Redis; `""` where there is none. */
  private readonly present: (name: string) => string;
  private readonly partitionOf = new Map<string, string>();
  /** By update: the claim that its last run began under. */
  private readonly ranUnder = new Map<string, string>();
  /** By message: the claims that calls with it were begun under. */
  private readonly begunUnder = new Map<string, Set<string>>();
  /** By claim: calls begun and not ended. */
  private readonly open = new Map<string, number>();

  constructor(present: (name: string) => string) {
    super();
    this.present = present;
  }

  writtenIn(name: string, chat: string, plan: PlanKind) {
    const known = this.written(chat, plan);
    this.partitionOf.set(known.key, name);
    return known;
  }

  beganUnder(key: string, held: Held): number {
    this.checkRight(`${key} was begun`, held);
    const run = this.began(key);
    this.ranUnder.set(key, idOf(held.name, held.claim.token));
    return run;
  }

  /** Once its claim is lost, what a run has done counts no more: the new owner's does. */
  returnedUnder(key: string, { name, claim }: Held): void {
    if (this.present(name) === claim.token) this.returned(key);
    else this.ended(key);
  }

  polled(held: Held | undefined): void {
    if (held === undefined) this.violate("claim: a bot was polled by who had no claim to");
    else this.checkRight("a poll was begun", held);
  }

  /** A message goes out. */
  callBegan(text: string, held: Held): void {
    this.checkRight(`message ${text} was sent`, held);
    const id = idOf(held.name, held.claim.token);
    const under = this.begunUnder.get(text) ?? new Set();
    this.begunUnder.set(text, under.add(id));
    this.open.set(id, (this.open.get(id) ?? 0) + 1);
  }

  callEnded({ name, claim }: Held): void {
    const id = idOf(name, claim.token);
    this.open.set(id, (this.open.get(id) ?? 0) - 1);
  }

  /** The store is about to write this. */
  writing({ tokens, appends }: Group): void {
    const given: (readonly [name: string, token: string])[] = appends.map(({ bot, token }) => [`b${bot}`, token]);
    tokens.forEach((token, at) => token !== undefined && given.push([`p${at}`, token]));
    for (const [name, token] of given) {
      if (token !== this.present(name)) this.violate(`fence: ${name} was written to under ${token}, which is lost`);
    }
  }

  /** Of one thing, at one moment: claims of all processes that look valid to their holders. */
  seenValid(name: string, tokens: readonly string[]): void {
    if (tokens.length > 1) this.violate(`two owners: ${name} under ${tokens.join(" and ")}`);
  }

  /** What stood there was given back by its owner. */
  gaveBack(name: string, token: string): void {
    this.handedOver++;
    const id = idOf(name, token);
    if ((this.open.get(id) ?? 0) > 0) this.violate(`hand-over: calls were under way when ${name} was given back`);
    for (const known of this.updates.values()) {
      if (known.hasReturned && !known.isSettled && this.ranUnder.get(known.key) === id) {
        this.violate(`hand-over: ${known.key} was not settled when ${name} was given back`);
      }
    }
  }

  /** Another claim took the place of one that was not given back. */
  tookOver(name: string, token: string): void {
    this.takenOver++;
    const id = idOf(name, token);
    for (const known of this.updates.values()) {
      if (known.isSettled || this.partitionOf.get(known.key) !== name) continue;
      known.crashes++;
      if (this.ranUnder.get(known.key) === id) known.hasReturned = false;
      for (const text of textsOf(known)) {
        if (this.begunUnder.get(text)?.has(id) !== true) continue;
        const sent = this.message(text);
        if (!sent.isMarked) sent.mayRepeat++;
      }
    }
  }

  cameToNoRest(steps: number): void {
    this.violate(`no rest after ${steps} steps`);
  }

  private checkRight(what: string, { name, claim }: Held): void {
    const present = this.present(name);
    if (!claim.valid()) this.violate(`claim: ${what} while the claim on ${name} did not hold`);
    else if (present !== claim.token) {
      this.violate(
        `two owners: ${what} under ${claim.token} while ${name} had ${present === "" ? "no owner" : present}`,
      );
    }
  }
}

function idOf(name: string, token: string): string {
  return `${name} ${token}`;
}
