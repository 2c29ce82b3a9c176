/** A pipeline on a fake clock and a fake partition, with everything around it that a test looks at. */
import { limits as allLimits } from "../../config/limits.ts";
import { type Attempt, type AttemptScope, createAttemptScope } from "../../src/attempts.ts";
import type { BotId, Seq, Update } from "../../src/ids.ts";
import { toBotId } from "../../src/ids.ts";
import { Pipeline } from "../../src/pipeline.ts";
import type { AttemptResult, PartitionWork, PipelineLimits, Trouble } from "../../src/pipeline-options.ts";
import { FakeClock, settled } from "./fake-clock.ts";
import { type Added, FakeInboxState, FakePartition } from "./fake-partition.ts";

/** What a test's handler is given: the update, its text, and its attempt. */
export interface Work {
  readonly update: Update;
  readonly text: string;
  readonly attempt: Attempt;
}

export interface Rig {
  readonly clock: FakeClock;
  readonly scope: AttemptScope;
  readonly partition: FakePartition;
  readonly inbox: FakeInboxState;
  readonly pipeline: Pipeline;
  /** Texts of the updates whose handler began, in order. */
  readonly started: string[];
  /** Ends of attempts, in order. */
  readonly ends: AttemptResult[];
  readonly troubles: Trouble[];
  /** Finished sends that were not repeated. */
  remembered: number;
  /** Bots that are not configured and of which there are updates. */
  readonly unconfigured: BotId[];
  /** Writes that were refused because the claim is lost. */
  fenced: number;
  /** Of the claim on the partition. */
  readonly claim: { isValid: boolean; isLost: boolean };
  readonly work: PartitionWork;
  readonly handle: (bot: number, handler: (work: Work) => Promise<void>) => void;
  /** Appends a text message. */
  readonly say: (bot: number, chat: number, text: string, more?: Partial<Added>) => Seq;
  readonly add: (bot: number, update: object, more?: Partial<Added>) => Seq;
}

const real: PipelineLimits = { ...allLimits.pipeline, drainMaxMs: allLimits.process.drainMaxMs };

/** Limits are the real ones but for `changed`; bots are numbered from 1. `random` is 0.5: no jitter. */
export function rig(changed: Partial<PipelineLimits> = {}, bots = 1): Rig {
  const clock = new FakeClock();
  const scope = createAttemptScope();
  const partition = new FakePartition();
  const inbox = new FakeInboxState();
  const started: string[] = [];
  const ends: AttemptResult[] = [];
  const troubles: Trouble[] = [];
  const claim = { isValid: true, isLost: false };
  let updateId = 0;
  const pipeline = new Pipeline({
    inbox,
    bots: new Set(Array.from({ length: bots }, (_, index) => toBotId(index + 1))),
    scope,
    clock,
    random: () => 0.5,
    limits: { ...real, ...changed },
    redact: (text) => text,
    events: {
      onAttempt: (_bot, result) => void ends.push(result),
      onTrouble: (_bot, trouble) => void troubles.push(trouble),
      onRemembered: () => void made.remembered++,
      onUnconfigured: (id) => void made.unconfigured.push(id),
      onFenced: () => void made.fenced++,
    },
  });
  const made: Rig = {
    clock,
    scope,
    partition,
    inbox,
    pipeline,
    started,
    ends,
    troubles,
    remembered: 0,
    unconfigured: [],
    fenced: 0,
    claim,
    work: pipeline.open(partition, {
      claim: { partition: 0, token: "", valid: () => claim.isValid && !claim.isLost, lost: () => claim.isLost },
    }),
    handle: (bot, handler) => {
      pipeline.setHandler(toBotId(bot), {
        handle: (update) => {
          const text = update.message?.text ?? Object.keys(update)[1] ?? "";
          started.push(text);
          return handler({ update, text, attempt: scope.current() as Attempt });
        },
      });
    },
    say: (bot, chat, text, more) => made.add(bot, { message: { chat: { id: chat }, text } }, more),
    add: (bot, update, more) =>
      partition.add({
        bot: bot as BotId,
        update: { update_id: ++updateId, ...update },
        receivedAt: clock.now(),
        ...more,
      }),
  };
  return made;
}

/** A handler that ends when the test says so: `open` holds the texts at work. */
export function gated(): {
  readonly handler: (work: Work) => Promise<void>;
  readonly open: Map<string, PromiseWithResolvers<void>>;
  readonly end: (text: string) => Promise<void>;
} {
  const open = new Map<string, PromiseWithResolvers<void>>();
  return {
    open,
    handler: async ({ text }) => {
      if (open.has(text)) throw new Error(`${text} is handled twice at once`);
      const gate = Promise.withResolvers<void>();
      open.set(text, gate);
      await gate.promise;
      open.delete(text);
    },
    end: async (text) => {
      const gate = open.get(text);
      if (gate === undefined) throw new Error(`${text} is not at work`);
      gate.resolve();
      await settled();
    },
  };
}
