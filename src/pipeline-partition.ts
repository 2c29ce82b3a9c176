/** A partition that the pipeline works on, as long as one claim has it. */
import type { AttemptRules } from "./attempt-run.ts";
import type { Partition } from "./inbox/inbox.ts";
import type { BotId } from "./ids.ts";
import { LaneAges } from "./lane-ages.ts";
import type { LaneHome } from "./lanes.ts";
import type { Claim } from "./leases/leases.ts";

export class OpenPartition implements LaneHome {
  readonly partition: Partition;
  readonly claim: Claim;
  /** Wall-clock ms: what was received before may have been begun by whoever had it then. */
  readonly openedAt: number;
  /** Of every attempt on its entries. */
  readonly rules: AttemptRules;
  /** Resolves when it has ended and nothing of it is in hand or being settled. */
  readonly over: Promise<void>;
  /** Entries of bots that are not configured; they stay in the inbox. */
  readonly unconfigured = new Map<BotId, number>();
  /** Lanes between `take` and the end of what follows their attempt. */
  inHand = 0;
  /** Outcomes that are not durable yet. */
  settling = 0;
  /** Given up: nothing of it is started any more. */
  hasEnded = false;
  isLost = false;
  /** Of its unsettled entries, by bot: only within a partition do seqs rise as they come. */
  private readonly ages = new Map<BotId, LaneAges>();
  private readonly calls = new AbortController();
  private readonly waits = new AbortController();
  private readonly resolveOver: () => void;

  constructor(
    partition: Partition,
    { claim, openedAt }: { readonly claim: Claim; readonly openedAt: number },
    rules: (signals: Pick<AttemptRules, "signal" | "waitSignal">) => AttemptRules,
  ) {
    this.partition = partition;
    this.claim = claim;
    this.openedAt = openedAt;
    this.rules = rules({ signal: this.calls.signal, waitSignal: this.waits.signal });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.resolveOver = resolve;
  }

  agesOf(bot: BotId): LaneAges {
    let ages = this.ages.get(bot);
    if (ages === undefined) this.ages.set(bot, (ages = new LaneAges()));
    return ages;
  }

  /** When the oldest unsettled entry of the bot was received, wall-clock ms; undefined where it has none here. */
  oldestReceivedAt(bot: BotId): number | undefined {
    return this.ages.get(bot)?.oldest();
  }

  /** Waits of its attempts (flood control, back-off) end at once. */
  end(): void {
    this.hasEnded = true;
    this.waits.abort();
    this.checkOver();
  }

  abortCalls(): void {
    this.calls.abort();
  }

  checkOver(): void {
    if (this.hasEnded && this.inHand === 0 && this.settling === 0) this.resolveOver();
  }
}
