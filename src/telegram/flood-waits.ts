/** The calls that wait for one chat. */
import type { ChatKey, FloodCall, FloodKind } from "./flood-call.ts";
import type { Heap, Ranked } from "./flood-heap.ts";
import type { FloodEnd, FloodReason } from "./flood-port.ts";

/** One waiting call, a link of its list. */
export interface Wait {
  readonly call: FloodCall;
  readonly reason: FloodReason;
  /** Monotonic ms. */
  readonly since: number;
  readonly resolve: (end: FloodEnd) => void;
  readonly chat: ChatWaits;
  unlisten: (() => void)[];
  before: Wait | undefined;
  after: Wait | undefined;
}

/** Waits by the order of their calls. */
class WaitList {
  first: Wait | undefined;
  private last: Wait | undefined;

  add(wait: Wait): void {
    // New calls belong at the end; one that was refused is older than most that wait.
    let before = this.last;
    if (this.first !== undefined && this.first.call.order > wait.call.order) before = undefined;
    while (before !== undefined && before.call.order > wait.call.order) before = before.before;
    const after = before === undefined ? this.first : before.after;
    wait.before = before;
    wait.after = after;
    if (before === undefined) this.first = wait;
    else before.after = wait;
    if (after === undefined) this.last = wait;
    else after.before = wait;
  }

  delete(wait: Wait): void {
    if (wait.before === undefined) this.first = wait.after;
    else wait.before.after = wait.after;
    if (wait.after === undefined) this.last = wait.before;
    else wait.after.before = wait.before;
  }
}

export class ChatWaits implements Ranked {
  readonly key: ChatKey;
  rank = 0;
  place = 0;
  /** Where it stands now: among those whose chat has to be waited for, or whose turn is up to the bot. */
  heap: Heap<ChatWaits> | undefined;
  private readonly replies = new WaitList();
  private readonly broadcasts = new WaitList();

  constructor(key: ChatKey) {
    this.key = key;
  }

  /** Whose turn it is; undefined where nobody waits. */
  get first(): Wait | undefined {
    return this.replies.first ?? this.broadcasts.first;
  }

  /** Whether `call` has to stand behind one that waits already. */
  isBefore(call: FloodCall): boolean {
    const { first } = this;
    if (first === undefined) return false;
    if (first.call.kind !== call.kind) return first.call.kind === "reply";
    return first.call.order < call.order;
  }

  add(wait: Wait): void {
    this.listOf(wait.call.kind).add(wait);
  }

  delete(wait: Wait): void {
    this.listOf(wait.call.kind).delete(wait);
  }

  private listOf(kind: FloodKind): WaitList {
    return kind === "reply" ? this.replies : this.broadcasts;
  }
}
