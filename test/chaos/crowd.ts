/** People who register, invite and collect at two bots, what they must have then, and what they may have been told. */
import { expect } from "bun:test";
import type { BotApi } from "../../src/simulator/bot-api.ts";
import { dailyPoints, referralPoints } from "../../src/users/operations.ts";
import type { Told, ToldUpdate } from "./told.ts";

/** What somebody has done, by which the model is made. */
interface Person {
  readonly id: number;
  readonly referrer: number | undefined;
  hasStarted: boolean;
  hasCollected: boolean;
}

/** What is looked at of a stored user. */
export interface Standing {
  readonly points: number;
  readonly referralCount: number;
  readonly referredBy: number | undefined;
}

export interface CrowdOptions {
  readonly api: BotApi;
  /** Two. */
  readonly bots: readonly number[];
  readonly referrers: number;
  readonly people: number;
}

const linkForm = /start=ref_([A-Za-z0-9]+)/;

export class Crowd {
  readonly #options: CrowdOptions;
  readonly #people: readonly Person[];
  /** Referrer → code. */
  readonly #codes = new Map<number, string>();

  constructor(options: CrowdOptions) {
    this.#options = options;
    const first = Array.from({ length: options.referrers }, (_, at) => newPerson(1 + at, undefined, true));
    const others = Array.from({ length: options.people }, (_, at) =>
      newPerson(1_000 + at, Math.random() < 0.8 ? this.#anyReferrer() : undefined, false),
    );
    this.#people = [...first, ...others];
  }

  get ids(): readonly number[] {
    return this.#people.map(({ id }) => id);
  }

  get started(): number {
    return this.#people.filter(({ hasStarted }) => hasStarted).length;
  }

  /** The referrers register in peace, and tell their codes. */
  async begin(): Promise<void> {
    const { api, bots, referrers } = this.#options;
    const [bot = 0] = bots;
    for (let id = 1; id <= referrers; id++) {
      for (const text of ["/start", "/invite"]) api.people.person(id).say(bot, text);
      const { text } = await api.people.waitForAnswer(bot, id, (message) => linkForm.test(message.text), {
        maxMs: 20_000,
      });
      this.#codes.set(id, linkForm.exec(text)?.[1] ?? "");
    }
    expect(new Set(this.#codes.values()).size).toBe(referrers);
  }

  /** As many people do something at once. Each writes to a bot of their own first; what they send to the other one is handled whenever it is. */
  act(count: number): void {
    for (let n = 0; n < count; n++) {
      const person = this.#people[Math.floor(Math.random() * this.#people.length)];
      if (person !== undefined) this.#actOnce(person);
    }
  }

  /** Those who are not as the model says. `uncertain`: of these it is not known what was done. */
  wrong(users: ReadonlyMap<number, Standing>, uncertain: ReadonlySet<number>): readonly unknown[] {
    return this.#people.flatMap((person) => {
      const { id } = person;
      const brought = this.#people.filter(({ referrer }) => referrer === id);
      if ([person, ...brought].some((each) => uncertain.has(each.id))) return [];
      const [is, should] = [users.get(id), modelOf(person, brought)];
      return Bun.deepEquals(is, should) ? [] : [{ id, is, should }];
    });
  }

  /**
   * Expects that every update was answered, in each of its runs as at first, and that nobody who was greeted was a stranger afterwards. Returns how
   * many answers were repeated.
   */
  judgeAnswers(told: Told, uncertain: ReadonlySet<number>): number {
    expect(told.strays).toEqual([]);
    const updates = told.updates().filter(({ chat }) => !uncertain.has(chat));
    expect(updates.filter(({ answers }) => answers.length === 0)).toEqual([]);
    // Those of a bot that says the same again.
    expect(updates.filter(({ text, answers }) => text.startsWith("#") && answers.some((is) => is !== text))).toEqual(
      [],
    );
    const lanes = Map.groupBy(updates, ({ bot, chat }) => `${bot} ${chat}`);
    expect([...lanes.values()].flatMap(forgotten)).toEqual([]);
    const changing = updates.filter(({ text }) => /^\/(?:start|daily)/.test(text));
    // Somebody may be registered by the other bot between two runs, and who is not has no document that would remember the first.
    const final = changing.map(({ chat, text, answers }) => ({
      chat,
      text,
      answers: answers.filter((answer) => !isUnknown(answer)),
    }));
    expect(final.filter(({ answers }) => new Set(answers).size > 1)).toEqual([]);
    const dailies = Map.groupBy(
      final.filter(({ text, answers }) => text === "/daily" && answers.length > 0),
      ({ chat }) => chat,
    );
    for (const [chat, asked] of dailies) {
      const granted = asked.filter(({ answers }) => answers[0]?.startsWith(`You got ${dailyPoints} points`)).length;
      const refused = asked.filter(({ answers }) => answers[0]?.startsWith("You already took")).length;
      expect({ chat, granted, refused }).toEqual({ chat, granted: 1, refused: asked.length - 1 });
    }
    expect(dailies.size).toBeGreaterThan(this.#people.length / 10);
    return final.reduce((sum, { answers }) => sum + Math.max(0, answers.length - 1), 0);
  }

  #actOnce(person: Person): void {
    const { api, bots } = this.#options;
    const user = api.people.person(person.id);
    const [own, other] = person.id % 2 === 0 ? bots : bots.toReversed();
    if (own === undefined || other === undefined) throw new RangeError("people need two bots");
    if (!person.hasStarted) {
      person.hasStarted = true;
      const code = this.#codes.get(person.referrer ?? 0);
      user.say(own, code === undefined ? "/start" : `/start ref_${code}`);
      return;
    }
    // A link that is opened after the registration, which must not count.
    if (Math.random() < 0.1) user.say(own, `/start ref_${this.#codes.get(this.#anyReferrer())}`);
    user.say(Math.random() < 0.3 ? other : own, "/points");
    user.say(own, "/daily");
    person.hasCollected = true;
    if (Math.random() < 0.5) user.say(other, "/daily");
  }

  #anyReferrer(): number {
    return 1 + Math.floor(Math.random() * this.#options.referrers);
  }
}

function newPerson(id: number, referrer: number | undefined, hasStarted: boolean): Person {
  return { id, referrer, hasStarted, hasCollected: false };
}

function modelOf({ referrer, hasStarted, hasCollected }: Person, brought: readonly Person[]): Standing | undefined {
  if (!hasStarted) return undefined;
  const paid = brought.filter((other) => other.hasCollected).length;
  const points = (hasCollected ? dailyPoints : 0) + paid * referralPoints;
  return { points, referralCount: paid, referredBy: referrer };
}

/** Of the updates of a chat those that were answered as if there had been no answer to those before. */
function forgotten(updates: readonly ToldUpdate[]): readonly ToldUpdate[] {
  const greeted = updates.findIndex(({ answers: [first = ""] }) => first !== "" && !isUnknown(first));
  return greeted < 0 ? [] : updates.slice(greeted).filter(({ answers }) => answers.some(isUnknown));
}

function isUnknown(answer: string): boolean {
  return answer.startsWith("You are not registered");
}
