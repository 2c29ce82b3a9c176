/**
 * Order and fairness, without any I/O. A lane holds the unsettled updates of one chat of one bot, oldest first; its head is the only one
 * that may be at work. Ready lanes of a bot wait in line, bots take turns, and a lane that is done with its head goes to the end of
 * its line: a chat with 1,000 waiting updates takes one slot, and so does a chat with one.
 *
 *     add ─► ready ─► working ─► done: next head ready, or the lane is gone
 *                        └─────► waiting (a retry, an outage) ─► ready
 *
 * A lane lives in a home, the partition its entries come from. It is removed, with what it holds, where that home is given up.
 */
import type { Body, Partition } from "./inbox/inbox.ts";
import type { BotId, LaneKey, Seq } from "./ids.ts";

export type LaneState = "ready" | "working" | "waiting" | "removed";

/** What a lane must know of the partition that its entries come from. */
export interface LaneHome {
  readonly partition: Pick<Partition, "bodies">;
}

/** One chat's line. Read by the pipeline, changed only by `Lanes` (but for `failures` and the bodies, which are the pipeline's). */
export class Lane<Home extends LaneHome = LaneHome> {
  readonly key: LaneKey;
  readonly line: BotLine<Home>;
  readonly home: Home;
  state: LaneState = "ready";
  /** Outages in a row that its head met: the exponent of its back-off. */
  failures = 0;
  /** Body of the head where it is in memory. */
  body: Body | undefined;
  /** Bodies of later entries that are in memory. */
  laterBodies: Map<Seq, Body> | undefined;
  head: Seq;
  private later: Seq[] | undefined;
  private laterFrom = 0;

  constructor(line: BotLine<Home>, home: Home, key: LaneKey, head: Seq) {
    this.line = line;
    this.home = home;
    this.key = key;
    this.head = head;
  }

  get size(): number {
    return 1 + (this.later === undefined ? 0 : this.later.length - this.laterFrom);
  }

  append(seq: Seq): void {
    if (this.later === undefined) this.later = [seq];
    else this.later.push(seq);
  }

  /** The first `max` entries, head included. */
  first(max: number): Seq[] {
    const found = [this.head];
    if (this.later !== undefined) {
      const end = Math.min(this.later.length, this.laterFrom + max - 1);
      for (let at = this.laterFrom; at < end; at++) found.push(this.later[at] as Seq);
    }
    return found;
  }

  /** Moves on to the next entry; false where there is none. */
  shift(): boolean {
    const next = this.later?.[this.laterFrom];
    if (this.later === undefined || next === undefined) return false;
    this.laterFrom++;
    // A queue that is always a little behind would otherwise keep every id it ever held.
    if (this.laterFrom >= 64 && this.laterFrom * 2 >= this.later.length) {
      this.later = this.later.slice(this.laterFrom);
      this.laterFrom = 0;
    }
    this.head = next;
    this.body = this.laterBodies?.get(next);
    if (this.body !== undefined) this.laterBodies?.delete(next);
    this.failures = 0;
    return true;
  }
}

/** What the lanes of one bot share. */
export class BotLine<Home extends LaneHome = LaneHome> {
  readonly bot: BotId;
  readonly lanes = new Map<LaneKey, Lane<Home>>();
  /** Removed ones stay until their turn comes, or they are the most. */
  readonly ready = new Fifo<Lane<Home>>();
  /** Of those in line, the removed ones. */
  removed = 0;
  /** Unsettled entries. */
  backlog = 0;
  /** Slots taken. */
  working = 0;
  /** Attempts that made calls which were all answered; the pipeline's. */
  answered = 0;
  /** False while the bot cannot handle anything (not started, disabled, paused): its lanes keep their order and wait. */
  open = false;
  /** True while it stands in the circle of bots that have something to start. */
  inTurn = false;
  /** True while it stands in line for a reserved slot. */
  isEntitled = false;

  constructor(bot: BotId) {
    this.bot = bot;
  }
}

export interface LaneLimits {
  readonly slotsPerBot: number;
  readonly slotsTotal: number;
  readonly slotsReservedPerBot: number;
}

export class Lanes<Home extends LaneHome = LaneHome> {
  private readonly limits: LaneLimits;
  private readonly lines = new Map<BotId, BotLine<Home>>();
  private readonly turns = new Fifo<BotLine<Home>>();
  /** Bots that may start a lane on a reserved slot where no common one is free. */
  private readonly entitled = new Fifo<BotLine<Home>>();
  /** Unsettled entries of all bots. */
  backlog = 0;
  /** Slots taken in all. */
  working = 0;

  constructor(limits: LaneLimits) {
    this.limits = limits;
  }

  line(bot: BotId): BotLine<Home> {
    let line = this.lines.get(bot);
    if (line === undefined) {
      line = new BotLine<Home>(bot);
      this.lines.set(bot, line);
    }
    return line;
  }

  get bots(): number {
    return this.lines.size;
  }

  /** Puts an entry at the end of its lane. Entries of one lane must come in rising `seq`, and from the same home. */
  add(home: Home, bot: BotId, key: LaneKey, seq: Seq): Lane<Home> {
    const line = this.line(bot);
    line.backlog++;
    this.backlog++;
    const lane = line.lanes.get(key);
    if (lane !== undefined) {
      lane.append(seq);
      return lane;
    }
    const created = new Lane(line, home, key, seq);
    line.lanes.set(key, created);
    this.queue(created);
    return created;
  }

  /** Lets the lanes of a bot run, or holds them back. */
  setOpen(bot: BotId, open: boolean): void {
    const line = this.line(bot);
    line.open = open;
    this.offer(line);
  }

  /** The lane whose turn it is, now `working` and holding a slot; undefined where nothing may start. */
  take(): Lane<Home> | undefined {
    const { slotsTotal, slotsReservedPerBot } = this.limits;
    while (this.working < slotsTotal) {
      const line = this.turns.shift();
      if (line === undefined) break;
      line.inTurn = false;
      const lane = this.begin(line);
      if (lane !== undefined) return lane;
    }
    for (let line = this.entitled.shift(); line !== undefined; line = this.entitled.shift()) {
      line.isEntitled = false;
      const lane = line.working < slotsReservedPerBot ? this.begin(line) : undefined;
      if (lane !== undefined) return lane;
    }
    return undefined;
  }

  /** The head is finished: the lane's next entry gets in line, or the lane is gone. Its slot must have been given back. */
  done(lane: Lane<Home>): void {
    lane.line.backlog--;
    this.backlog--;
    if (lane.shift()) this.queue(lane);
    else lane.line.lanes.delete(lane.key);
  }

  /** All of a home. */
  *of(home: Home): Iterable<Lane<Home>> {
    for (const line of this.lines.values()) {
      for (const lane of line.lanes.values()) if (lane.home === home) yield lane;
    }
  }

  /** Forgets a lane and everything in it. Its slot must have been given back. */
  remove(lane: Lane<Home>): void {
    lane.line.backlog -= lane.size;
    this.backlog -= lane.size;
    const isInLine = lane.state === "ready";
    lane.state = "removed";
    lane.line.lanes.delete(lane.key);
    if (isInLine) this.leaveInLine(lane.line);
  }

  /** The head has to wait; nothing else of the lane goes on meanwhile. Its slot must have been given back. */
  wait(lane: Lane<Home>): void {
    lane.state = "waiting";
  }

  /** The wait of a lane is over. */
  queue(lane: Lane<Home>): void {
    lane.state = "ready";
    lane.line.ready.push(lane);
    this.offer(lane.line);
  }

  takeSlot(lane: Lane<Home>): void {
    lane.line.working++;
    this.working++;
  }

  giveSlot(lane: Lane<Home>): void {
    lane.line.working--;
    this.working--;
    this.offer(lane.line);
  }

  private begin(line: BotLine<Home>): Lane<Home> | undefined {
    if (!line.open || line.working >= this.limits.slotsPerBot) return undefined;
    let lane = line.ready.shift();
    for (; lane?.state === "removed"; lane = line.ready.shift()) line.removed--;
    if (lane === undefined) return undefined;
    lane.state = "working";
    this.takeSlot(lane);
    this.offer(line);
    return lane;
  }

  /** A bot whose lanes are held may lose them and get them again any number of times before it has a turn. */
  private leaveInLine(line: BotLine<Home>): void {
    line.removed++;
    if (line.removed < 1_024 || line.removed * 2 < line.ready.size) return;
    line.ready.keep(({ state }) => state !== "removed");
    line.removed = 0;
  }

  /** Every bot that could start a lane if there were a slot stands in turn, and keeps its place until it has started one. */
  private offer(line: BotLine<Home>): void {
    if (!line.open || line.ready.size === 0 || line.working >= this.limits.slotsPerBot) return;
    if (!line.inTurn) {
      line.inTurn = true;
      this.turns.push(line);
    }
    if (!line.isEntitled && line.working < this.limits.slotsReservedPerBot) {
      line.isEntitled = true;
      this.entitled.push(line);
    }
  }
}

/** First in, first out, in constant time. */
export class Fifo<T> {
  private items: (T | undefined)[] = [];
  private from = 0;

  get size(): number {
    return this.items.length - this.from;
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** Drops what is not to be kept. */
  keep(isKept: (item: T) => boolean): void {
    this.items = this.items.slice(this.from).filter((item) => item !== undefined && isKept(item));
    this.from = 0;
  }

  shift(): T | undefined {
    const item = this.items[this.from];
    if (this.from < this.items.length) this.items[this.from++] = undefined;
    if (this.from >= 1_024 && this.from * 2 >= this.items.length) {
      this.items = this.items.slice(this.from);
      this.from = 0;
    }
    return item;
  }
}
