/**
 * Port: where the members of a fleet write down who has which claim. Calls are answered or reject within a deadline; one that has rejected may have
 * been done, and may still be done later, after calls that were made after it. How each step can end:
 *
 *     step     can end by                            then
 *     renew    lost, or no answer in time            asked again each `renewMs`; it counts from when it was sent, so that an answer that took long
 *                                                    is worth less; done late it only keeps the member alive for longer than the member knows
 *     renew    a claim's token is another one        lost: nothing is begun under it any more (the inbox has refused its writes since then)
 *     renew    a claim of this member that it does   an answer to `take` was lost, or a tail of the store that held its `give`: given back
 *              not know
 *     take     taken meanwhile                       not among those answered: each names the token that was seen, and is compared whole
 *     take     two takers                            one step each: the second one finds another token than it saw
 *     take     answer lost, sent twice               the same nonce answers the same token
 *     take     done late                             refused where the member was not renewed since; else a claim that it does not know, as above
 *     take     Redis full                            taken: a few bytes, for which room is made as for a settle
 *     give     answer lost, done late                given again; a token is given back only after its last use and never comes again
 *     give     claim lost meanwhile                  another token stands there: nothing is done
 *     leave    lost                                  the member is dead after `ttlMs`; done late it ends a member that is gone
 *     tell     lost                                  allowed
 *     message  that claims were given, lost          seen with the next renewal
 *
 *     trouble                                        then
 *     Redis hung or away for less than `giveUpMs`    nothing
 *       for longer                                   every claim lapses everywhere; with the first renewal each claim whose token still stands there
 *                                                    goes on. Whoever looks dead gets `ttlMs` more: it may only be slower to come back
 *     Redis restarted, its last second lost          tokens are compared whole: a claim that is not there any more is lost; an old token that came
 *                                                    back is given back by its member; a number given twice has another nonce
 *     member paused                                  `valid()` compares the clock, before any timer runs; after `ttlMs` others take over
 *     member's key expired while it lives            nothing where nobody took its claims: the next renewal sets it again
 *     member dead                                    its claims are free `ttlMs` after its last renewal
 *     clock of the server jumps forward              members look dead: others take over up to `giveUpMs` before they know; the tokens that the
 *                                                    inbox compares keep the old owners from writing
 *       backward                                     a dead member is taken over later
 *     machine suspended, its clock with it           as where the server's clock jumps forward
 */
import type { BotId } from "../ids.ts";

/** `b<bot>` or `p<partition>`: what a claim is on, as the inbox names it where it compares tokens. */
export type ClaimName = `b${BotId}` | `p${number}`;

/** Lower-case letters and digits, never used before: a process. */
export type MemberId = string;

export interface Beat {
  readonly member: MemberId;
  /** One line of JSON for the others. */
  readonly info: string;
  /** Without another beat the member counts as dead after this long, ms. */
  readonly ttlMs: number;
  /** Of the last renewal; undefined: the claims are answered in any case. */
  readonly seen: string | undefined;
  /** Members that are removed where they are dead. */
  readonly forget: readonly MemberId[];
}

export interface StoredMember {
  readonly id: MemberId;
  readonly info: string;
  /** How long it counts as alive without another beat, ms; 0: it is dead. */
  readonly leftMs: number;
}

export interface Renewal {
  /** Of the server: another one where it was restarted or another took its place, and may have lost what came last. */
  readonly run: string;
  /** Another one than before with each claim taken or given back, and with each run. */
  readonly seen: string;
  readonly members: readonly StoredMember[];
  /** Every claim's token; undefined where `seen` is the one that was asked with. */
  readonly claims: ReadonlyMap<string, string> | undefined;
}

export interface Taking {
  readonly member: MemberId;
  /** Lower-case letters and digits, never used before. */
  readonly nonce: string;
  /** With the token that stands there: `""` where there is none, or that of a member that is dead. */
  readonly claims: ReadonlyMap<ClaimName, string>;
}

export interface LeaseStoreEvents {
  /** A member took or gave back claims; also this one. May be lost. */
  readonly onChanged: (member: MemberId) => void;
  /** A member said something; also this one. May be lost. */
  readonly onTold: (member: MemberId, text: string) => void;
  /** Can be asked from now on, or again; messages may have been missed. */
  readonly onUsable: () => void;
}

export interface LeaseStore {
  start(events: LeaseStoreEvents): void;
  renew(beat: Beat): Promise<Renewal>;
  /**
   * Answers the tokens, `<epoch>:<member>-<nonce>`, of those that the member has now. None where it is not alive. Epochs rise by name, as far as the
   * store loses nothing.
   */
  take(taking: Taking): Promise<ReadonlyMap<ClaimName, string>>;
  /** Frees each claim that still has the token, and tells the others. */
  give(member: MemberId, claims: ReadonlyMap<ClaimName, string>): Promise<void>;
  /** Gives the claims back and ends the member: whatever else it has is free. */
  leave(member: MemberId, claims: ReadonlyMap<ClaimName, string>): Promise<void>;
  /** `text`: one line. May be lost. */
  tell(member: MemberId, text: string): void;
  stop(): void;
}

/** The member of a token; undefined where it has not the form of this store. */
export function ownerOf(token: string): MemberId | undefined {
  return /^\d+:([a-z0-9]+)-[a-z0-9]+$/.exec(token)?.[1];
}

export function epochOf(token: string): number {
  return Number(token.slice(0, token.indexOf(":")));
}
