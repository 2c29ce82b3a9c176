/**
 * From the inbox to the handlers and back: reads the partitions that this instance has, keeps each chat in order, runs handlers side by side in bounded
 * slots, and settles what they leave behind. (Longer than most files: one state machine, whose steps are read together.)
 *
 * How each step can fail or be interrupted:
 *
 *     next                       ends when the inbox stops, or fenced: the claim is lost; entries come in order, so a lane never overtakes itself
 *     bodies cannot be read      the lane waits as in any outage
 *     mark of a suspect          its handler starts only after the mark is durable; the inbox waits out a store that fails
 *     handler                    verdict.ts decides: done, retry, dead, outage, kept
 *     crash while in work        the entry is unsettled: the next process handles it again, as a suspect
 *     crash after the handler    the outcome was not durable yet: as above (promise 3 allows this one repetition)
 *     settle cannot be written   the inbox retries; no new handler starts while it fails or too many outcomes wait
 *     claim not confirmed        nothing starts and no effect begins until it is; what is in work waits as in any outage
 *     claim lost                 what is in work is given up, writes are fenced, the lanes are forgotten: its new owner reads them
 *     partition given back       its lanes are forgotten but for those in work, which get `drainMaxMs`; every outcome is durable first
 *     shutdown                   all partitions are given back: waits end at once, after `drainMaxMs` calls are aborted and their updates stay
 */
import { type AttemptEnd, AttemptRun, type AttemptRules } from "./attempt-run.ts";
import { Bodies } from "./bodies.ts";
import { backoffMs } from "./clock.ts";
import { isExpired } from "./expiry.ts";
import { type Fault, faultOf } from "./faults.ts";
import type { Body, Entry, Mark, Outcome, Partition, Suspicion } from "./inbox/inbox.ts";
import { type Lane as AnyLane, Lanes } from "./lanes.ts";
import { LaneUnknowns } from "./lane-unknowns.ts";
import { LaneWaits } from "./lane-waits.ts";
import type { BotId, Seq } from "./ids.ts";
import { OpenPartition } from "./pipeline-partition.ts";
import type {
  Handler,
  OpenOptions,
  PartitionWork,
  PipelineOptions,
  PipelineStatus,
  Trouble,
} from "./pipeline-options.ts";
import { type Room, Rooms } from "./room.ts";
import { giveUp, judge, type Verdict } from "./verdict.ts";
import { Work } from "./work.ts";

type Lane = AnyLane<OpenPartition>;

/** What an entry brought along, where it is not new. */
interface Extra {
  readonly attempts: number;
  readonly suspicion: Suspicion;
}

const newEntry: Extra = { attempts: 0, suspicion: "none" };
const readMaxEntries = 1_000;

export class Pipeline {
  private readonly options: PipelineOptions;
  private readonly lanes: Lanes<OpenPartition>;
  private readonly bodies: Bodies;
  private readonly rooms: Rooms;
  private readonly opened = new Set<OpenPartition>();
  private readonly handlers = new Map<BotId, Handler>();
  private readonly extras = new Map<Seq, Extra>();
  private readonly work: Work;
  private readonly laneWaits: LaneWaits;
  private readonly unknowns = new LaneUnknowns();
  private readonly stopListening: () => void;
  private alone: Lane | undefined;
  private isAloneRunning = false;
  /** Lanes between `take` and the end of what follows their attempt. */
  private inHand = 0;
  private settling = 0;
  /** Some claim has not been confirmed in time. */
  private isUnsure = false;
  private isStopping = false;
  private stopping: Promise<void> | undefined;
  private isPumping = false;

  constructor(options: PipelineOptions) {
    const { clock, limits } = options;
    this.options = options;
    this.lanes = new Lanes(limits);
    this.bodies = new Bodies(limits);
    this.rooms = new Rooms(clock);
    this.work = new Work(clock, limits, this.lanes);
    this.laneWaits = new LaneWaits(clock);
    for (const bot of options.bots) this.lanes.line(bot);
    this.stopListening = options.inbox.onState(() => {
      this.rooms.changed();
      this.pump();
    });
  }

  /** Works on a partition until the inbox stops, the claim is lost, or it is given back. Not while an earlier work on it is not over. */
  open(partition: Partition, options: OpenOptions): PartitionWork {
    const { claim } = options;
    const openedAt = this.options.clock.now();
    const rules = (signals: Pick<AttemptRules, "signal" | "waitSignal">): AttemptRules =>
      this.rulesOf(signals, partition, options);
    const opened = new OpenPartition(partition, { claim, openedAt }, rules);
    this.opened.add(opened);
    if (this.isStopping) opened.end();
    else void this.read(opened); // Never rejects.
    return {
      changed: () => this.claimChanged(opened),
      giveBack: () => this.giveBackPartition(opened),
      over: opened.over,
    };
  }

  /** Lets a bot's updates run through `handler`, or with `undefined` holds them back (not started, disabled, paused). */
  setHandler(bot: BotId, handler: Handler | undefined): void {
    if (handler === undefined) this.handlers.delete(bot);
    else this.handlers.set(bot, handler);
    this.lanes.setOpen(bot, handler !== undefined);
    this.pump();
  }

  room(bot: BotId): Room {
    const { backlogMaxUpdates, backlogTotalMaxUpdates } = this.options.limits;
    const line = this.lanes.line(bot);
    return this.rooms.room(() => {
      const { inbox } = this.options;
      // What is polled here may be handled elsewhere.
      const backlog = Math.max(line.backlog, inbox.lastBacklog()?.bots.get(bot) ?? 0);
      if (this.isStopping || inbox.state() === "full" || backlog >= backlogMaxUpdates) return false;
      return this.lanes.backlog < backlogTotalMaxUpdates || line.backlog < backlogTotalMaxUpdates / this.lanes.bots;
    });
  }

  backlog(bot: BotId): number {
    return this.lanes.line(bot).backlog;
  }

  /** When the oldest unsettled update of the bot was received, wall-clock ms; undefined where it has none. */
  oldestReceivedAt(bot: BotId): number | undefined {
    const times = [...this.opened].flatMap((opened) => opened.oldestReceivedAt(bot) ?? []);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  status(): PipelineStatus {
    return {
      backlog: this.lanes.backlog,
      working: this.work.size,
      floodWaiting: this.work.floodWaiting,
      settling: this.settling,
      isBehind: [...this.opened].some(({ hasEnded, partition }) => !hasEnded && partition.isBehind()),
      unconfigured: this.unconfigured(),
    };
  }

  /**
   * Ends waits, lets handlers at work finish for `drainMaxMs`, then aborts their calls. Resolves when every outcome is durable; what
   * was cut short stays in the inbox. Not before the inbox can write: whoever cannot wait that long sets a deadline.
   */
  stop(): Promise<void> {
    this.isStopping = true;
    return (this.stopping ??= this.drain());
  }

  private async drain(): Promise<void> {
    await Promise.all([...this.opened].map((opened) => this.giveBackPartition(opened)));
    this.work.stop();
    this.stopListening();
  }

  private async read(opened: OpenPartition): Promise<void> {
    try {
      for (;;) {
        // Nothing in between: who polls asks for room as soon as its batch is stored.
        const entries = await opened.partition.next(readMaxEntries);
        if (entries.length === 0 || opened.hasEnded) return;
        for (const entry of entries) this.admit(opened, entry);
        this.pump();
      }
    } catch (error) {
      if (faultOf(error)?.code !== "inbox_fenced") throw error;
      this.options.events.onFenced();
      this.lose(opened);
    }
  }

  private rulesOf(
    signals: Pick<AttemptRules, "signal" | "waitSignal">,
    { number }: Partition,
    { claim, name = number }: OpenOptions,
  ): AttemptRules {
    const { clock, events } = this.options;
    return {
      ...signals,
      partition: name,
      monotonic: () => clock.monotonic(),
      mayAct: () => claim.valid(),
      onPause: (run) => {
        if (this.work.pause(run)) this.pump();
      },
      onResume: (run) => this.work.resume(run),
      onRemembered: () => events.onRemembered(),
      hash: (method, payload) => Bun.hash(`${method}\n${payload}`).toString(),
    };
  }

  private claimChanged(opened: OpenPartition): void {
    if (opened.claim.lost()) this.lose(opened);
    this.isUnsure = [...this.opened].some(({ hasEnded, claim }) => !hasEnded && !claim.valid());
    this.pump();
  }

  /** Somebody else works on it, or may: what is in work here can have no effect any more. */
  private lose(opened: OpenPartition): void {
    if (opened.isLost) return;
    opened.isLost = true;
    this.endPartition(opened);
    this.cutShort(opened);
  }

  private giveBackPartition(opened: OpenPartition): Promise<void> {
    if (!opened.hasEnded) {
      this.endPartition(opened);
      const { clock, limits } = this.options;
      const deadline = clock.setTimer(() => this.cutShort(opened), limits.drainMaxMs);
      void opened.over.then(() => deadline.cancel());
    }
    return opened.over;
  }

  /** Forgets what is not in work. */
  private endPartition(opened: OpenPartition): void {
    opened.end();
    void opened.over.then(() => this.opened.delete(opened));
    const { alone } = this;
    if (alone?.home === opened && !this.isAloneRunning) {
      this.release(alone);
      this.forget(alone);
    }
    for (const lane of this.lanes.of(opened)) if (lane.state !== "working") this.forget(lane);
    this.rooms.changed();
    this.pump();
  }

  private cutShort(opened: OpenPartition): void {
    opened.abortCalls();
    this.work.revoke(opened);
  }

  /** The lane holds no slot. What is left in it stays in the inbox. */
  private forget(lane: Lane): void {
    this.laneWaits.end(lane);
    this.bodies.drop(lane);
    this.unknowns.forget(lane);
    const ages = lane.home.agesOf(lane.line.bot);
    for (const seq of lane.first(lane.size)) {
      this.extras.delete(seq);
      ages.settle(seq);
    }
    this.lanes.remove(lane);
  }

  private unconfigured(): ReadonlyMap<BotId, number> {
    const sum = new Map<BotId, number>();
    for (const { unconfigured } of this.opened) {
      for (const [bot, count] of unconfigured) sum.set(bot, (sum.get(bot) ?? 0) + count);
    }
    return sum;
  }

  private admit(opened: OpenPartition, entry: Entry): void {
    const { bot, seq, lane: key, attempts, suspicion, receivedAt, body } = entry;
    if (!this.options.bots.has(bot)) {
      if (!opened.unconfigured.has(bot)) this.options.events.onUnconfigured(bot);
      opened.unconfigured.set(bot, (opened.unconfigured.get(bot) ?? 0) + 1);
      return;
    }
    if (attempts > 0 || suspicion !== "none") this.extras.set(seq, { attempts, suspicion });
    const lane = this.lanes.add(opened, bot, key, seq);
    opened.agesOf(bot).add(seq, receivedAt);
    if (body !== undefined) this.bodies.keep(lane, seq, body);
  }

  private pump(): void {
    // An attempt that ends at once pumps again: without this guard a long run of such updates would nest without bound.
    if (this.isPumping) return;
    this.isPumping = true;
    try {
      while (this.startNext());
    } finally {
      this.isPumping = false;
    }
  }

  /** Takes the next lane in hand; false where none may start now. */
  private startNext(): boolean {
    if (!this.mayRun()) return false;
    if (this.alone !== undefined) {
      if (this.isAloneRunning || this.inHand > 1) return false;
      this.isAloneRunning = true;
      this.prepare(this.alone);
      return true;
    }
    const lane = this.lanes.take();
    if (lane === undefined) return false;
    this.inHand++;
    lane.home.inHand++;
    if (this.extra(lane.head).suspicion === "alone") this.alone = lane;
    else this.prepare(lane);
    return true;
  }

  /** While outcomes cannot be written, every handler that ran would run again after a crash. */
  private mayRun(): boolean {
    return this.isUp() && this.settling < this.options.limits.settlingMax;
  }

  private isUp(): boolean {
    return !this.isStopping && !this.isUnsure && this.options.inbox.state() !== "failing";
  }

  private prepare(lane: Lane): void {
    if (lane.body !== undefined) {
      this.start(lane);
      return;
    }
    this.bodies.fetch(lane, (fetched) => {
      switch (fetched.kind) {
        case "fetched":
          this.start(lane);
          return;
        case "absent":
          this.trouble(lane, {
            kind: "inbox",
            updateId: undefined,
            error: `entry ${lane.head} is gone from the inbox`,
          });
          this.release(lane);
          this.finish(lane);
          return;
        case "failed":
          this.trouble(lane, { kind: "inbox", updateId: undefined, error: String(fetched.error) });
          this.wait(lane, this.outageWaitMs(lane, undefined));
      }
    });
  }

  private start(lane: Lane): void {
    const { bot } = lane.line;
    const handler = this.handlers.get(bot);
    // The bot may have been paused, the inbox have begun to fail, or the partition have ended, while the body was fetched.
    const body = handler !== undefined && this.isHeld(lane) && this.mayRun() ? this.bodies.take(lane) : undefined;
    if (handler === undefined || body === undefined) {
      this.giveBack(lane);
    } else if (isExpired(body.update, this.ageMs(body), this.options.limits)) {
      this.options.events.onAttempt(bot, "expired", 0, this.ageMs(body), body.update);
      this.settle(lane, { kind: "done", how: "expired" });
    } else if (this.extra(lane.head).suspicion === "none") {
      this.attempt(lane, body, handler);
    } else {
      this.mark(lane, { seq: lane.head, started: true }, () => this.startMarked(lane, body));
    }
  }

  private startMarked(lane: Lane, body: Body): void {
    const handler = this.handlers.get(lane.line.bot);
    if (handler !== undefined && this.isHeld(lane) && this.isUp()) this.attempt(lane, body, handler);
    // Nothing has run: a crash from now on must not count against this entry.
    else this.mark(lane, { seq: lane.head, started: false }, () => this.giveBack(lane));
  }

  /** False where its partition has ended, or may be another instance's: that is told when it is known. */
  private isHeld({ home }: Lane): boolean {
    if (home.hasEnded) return false;
    if (home.claim.valid()) return true;
    this.isUnsure = true;
    return false;
  }

  private attempt(lane: Lane, body: Body, handler: Handler): void {
    const { bot } = lane.line;
    const { clock, scope } = this.options;
    const { attempts, suspicion } = this.extra(lane.head);
    // Who had the partition before may have begun it, and have been stopped before an answer came.
    const isFromBefore = body.receivedAt < lane.home.openedAt;
    const mayRepeat = suspicion !== "none" || isFromBefore || this.unknowns.has(lane);
    const of = { bot, seq: lane.head, lane: lane.key, number: attempts, mayRepeat };
    const run = new AttemptRun(of, body, clock.monotonic(), lane.home.rules);
    run.holder = lane;
    this.work.add(run);
    run.begin(
      () => scope.run(run, () => handler.handle(body.update)),
      (end) => this.over(lane, run, body, end),
    );
  }

  private over(lane: Lane, run: AttemptRun, body: Body, end: AttemptEnd): void {
    const { clock, events } = this.options;
    this.work.remove(run);
    const verdict = this.judge(lane, run, end);
    events.onAttempt(lane.line.bot, verdict.kind, clock.monotonic() - run.startedAt, this.ageMs(body), body.update);
    switch (verdict.kind) {
      case "done":
        this.settle(lane, { kind: "done", how: "handled" });
        return;
      case "undeliverable":
        this.trouble(lane, { kind: "undeliverable", updateId: body.updateId, error: verdict.error });
        this.settle(lane, { kind: "done", how: "handled" });
        return;
      case "dead":
        this.trouble(lane, { kind: "dead", updateId: body.updateId, error: verdict.error });
        this.settle(lane, { ...verdict, sends: run.sends() });
        return;
      case "retry":
        this.trouble(lane, { kind: "retry", updateId: body.updateId, error: verdict.error });
        this.extras.set(lane.head, { attempts: verdict.attempts, suspicion: this.extra(lane.head).suspicion });
        this.mark(lane, this.markAfter(lane, run, verdict.attempts), () => this.wait(lane, verdict.waitMs));
        return;
      case "outage":
        this.trouble(lane, { kind: "outage", updateId: body.updateId, error: verdict.fault.message }, verdict.fault);
        this.mark(lane, this.markAfter(lane, run), () =>
          this.wait(lane, this.outageWaitMs(lane, verdict.retryAfterMs)),
        );
        return;
      case "kept":
        this.mark(lane, this.markAfter(lane, run), () => this.giveBack(lane));
    }
  }

  /** As verdict.ts decides, but for an outage that only this update meets. */
  private judge(lane: Lane, run: AttemptRun, end: AttemptEnd): Verdict {
    const { limits, redact } = this.options;
    const ended = { lane: lane.key, attemptsBefore: run.number, isStopping: lane.home.hasEnded, redact };
    const verdict = judge(end, ended, limits);
    if (run.wasAnswered) lane.line.answered++;
    if (verdict.kind !== "outage" || verdict.fault.effect !== "unknown") {
      this.unknowns.interrupt(lane);
      return verdict;
    }
    const times = this.unknowns.count(lane);
    return times < limits.unknownsMax ? verdict : giveUp(verdict.fault, times, run.number, limits);
  }

  /** What must survive a crash while the lane waits; undefined where nothing has changed. */
  private markAfter(lane: Lane, run: AttemptRun, attempts?: number): Mark | undefined {
    const isSuspect = this.extra(lane.head).suspicion !== "none";
    if (attempts === undefined && !run.hasNewSends && !isSuspect) return undefined;
    return {
      seq: lane.head,
      ...(attempts === undefined ? {} : { attempts }),
      ...(isSuspect ? { started: false } : {}),
      ...(run.hasNewSends ? { sends: run.sends() } : {}),
    };
  }

  private mark(lane: Lane, mark: Mark | undefined, next: () => void): void {
    if (mark === undefined || lane.home.isLost) {
      next();
      return;
    }
    lane.home.partition.mark([mark]).then(next, (error: unknown) => {
      this.refused(lane, error);
      this.wait(lane, this.outageWaitMs(lane, undefined));
    });
  }

  /** A write that the inbox will not repeat. After a fence the partition is somebody else's, who hands out again what is unsettled. */
  private refused(lane: Lane, error: unknown): void {
    const fault = faultOf(error);
    if (fault?.code === "inbox_fenced") {
      this.options.events.onFenced();
      this.lose(lane.home);
    }
    this.trouble(lane, { kind: "inbox", updateId: undefined, error: String(error) }, fault);
  }

  private settle(lane: Lane, outcome: Outcome): void {
    const { home, head } = lane;
    this.settling++;
    home.settling++;
    home.partition.settle(head, outcome).then(
      () => this.settled(home),
      (error: unknown) => {
        this.refused(lane, error);
        this.settled(home);
      },
    );
    this.release(lane);
    this.finish(lane);
  }

  private settled(home: OpenPartition): void {
    this.settling--;
    home.settling--;
    if (this.settling === this.options.limits.settlingMax - 1) this.pump();
    home.checkOver();
  }

  private finish(lane: Lane): void {
    this.extras.delete(lane.head);
    this.unknowns.forget(lane);
    lane.home.agesOf(lane.line.bot).settle(lane.head);
    this.lanes.done(lane);
    if (lane.home.hasEnded && lane.state === "ready") this.forget(lane);
    this.rooms.changed();
    this.pump();
  }

  /** Gives the slot of a lane back. The lane stays `working`, out of everyone's way, until it is finished, queued or waits. */
  private release(lane: Lane): void {
    this.inHand--;
    lane.home.inHand--;
    this.lanes.giveSlot(lane);
    if (this.alone === lane) {
      this.alone = undefined;
      this.isAloneRunning = false;
    }
    lane.home.checkOver();
  }

  /** Gets the lane in line again, its head untouched. */
  private giveBack(lane: Lane): void {
    this.release(lane);
    if (lane.home.hasEnded) this.forget(lane);
    else this.lanes.queue(lane);
    this.pump();
  }

  private wait(lane: Lane, ms: number): void {
    this.lanes.wait(lane);
    this.release(lane);
    if (lane.home.hasEnded) {
      this.forget(lane);
    } else {
      this.laneWaits.add(lane, ms, () => {
        this.lanes.queue(lane);
        this.pump();
      });
    }
    this.pump();
  }

  private outageWaitMs(lane: Lane, retryAfterMs: number | undefined): number {
    const { limits, random } = this.options;
    // The jitter adds up to a quarter: the longest wait is the cap all the same.
    const backoff = backoffMs(lane.failures++, limits.outageFirstMs, limits.outageCapMs * 0.8, random);
    return Math.max(retryAfterMs ?? 0, backoff);
  }

  private ageMs(body: Body): number {
    return Math.max(0, this.options.clock.now() - body.receivedAt);
  }

  private extra(seq: Seq): Extra {
    return this.extras.size === 0 ? newEntry : (this.extras.get(seq) ?? newEntry);
  }

  private trouble(lane: Lane, trouble: Omit<Trouble, "fault">, fault?: Fault): void {
    this.options.events.onTrouble(lane.line.bot, { ...trouble, fault });
  }
}
