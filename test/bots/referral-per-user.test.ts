import { expect, test } from "bun:test";
import { PerUser, type PerUserOptions } from "../../src/bots/referral/per-user.ts";
import { toUserId } from "../../src/ids.ts";
import { FakeClock } from "../support/fake-clock.ts";

function limit(options: Partial<PerUserOptions> = {}) {
  const clock = new FakeClock();
  const windows = new PerUser({ windowMs: 1_000, max: 2, usersMax: 3, now: () => clock.now(), ...options });
  let update = 0;
  return { clock, windows, take: (user: number, at = ++update) => windows.take(toUserId(user), at) };
}

test("so many pass in a window, the next one is the first over, and the rest are over", () => {
  const { take } = limit();
  expect(Array.from({ length: 5 }, () => take(1))).toEqual(["pass", "pass", "first_over", "over", "over"]);
  expect(take(2)).toBe("pass");
});

test("a window begins with a user's first update and ends after its time", async () => {
  const { clock, take } = limit();
  await clock.advance(700);
  for (let at = 0; at < 3; at++) take(1);
  await clock.advance(999);
  expect(take(1)).toBe("over");
  await clock.advance(1);
  expect([take(1), take(1), take(1)]).toEqual(["pass", "pass", "first_over"]);
});

test("a retry of an update is judged as before and counts as none", () => {
  const { take } = limit();
  for (let at = 0; at < 5; at++) expect(take(1, 7)).toBe("pass");
  expect([take(1, 8), take(1, 9), take(1, 9), take(1, 10)]).toEqual(["pass", "first_over", "first_over", "over"]);
});

test("a clock that is set back opens a new window", () => {
  const { clock, take } = limit();
  for (let at = 0; at < 3; at++) take(1);
  clock.jumpWall(-3_600_000);
  expect(take(1)).toBe("pass");
});

test("at most so many users are remembered, and the half of them that wrote last", () => {
  const { windows, take } = limit({ usersMax: 4 });
  for (const user of [1, 2, 3, 4]) for (let at = 0; at < 3; at++) take(user);
  expect(windows.users).toBe(4);
  take(5);
  expect([take(3), take(4), take(1)]).toEqual(["over", "over", "pass"]);
  for (let user = 100; user < 200; user++) {
    take(user);
    expect(windows.users).toBeLessThanOrEqual(4);
  }
});

test("who writes all the time is remembered, however many others write", () => {
  const { take } = limit({ usersMax: 10 });
  for (let at = 0; at < 3; at++) take(1);
  for (let user = 2; user < 1_000; user++)
    expect([take(user), user % 4 === 0 ? take(1) : "over"]).toEqual(["pass", "over"]);
});

test("windows that are over are forgotten as others begin", async () => {
  const { clock, windows, take } = limit({ usersMax: 1_000 });
  for (let user = 1; user <= 400; user++) take(user);
  expect(windows.users).toBe(400);
  for (const begun of [1_000, 2_000]) {
    await clock.advance(1_000);
    take(begun);
  }
  expect(windows.users).toBe(2);
});

test("a user whose window is still open is not forgotten with those whose are over", async () => {
  const { clock, take } = limit();
  take(2);
  await clock.advance(900);
  for (let at = 0; at < 3; at++) take(1);
  await clock.advance(200);
  expect([take(3), take(1)]).toEqual(["pass", "over"]);
});
