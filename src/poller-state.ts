/** What a poller is doing, for the fleet, the status page and the log. */
import type { Clock } from "./clock.ts";

/**
 * `starting` getMe has not been answered yet · `polling` a poll is open or its batch is being appended · `waiting` between two tries ·
 * `full` no poll is open because there is no room · `disabled` Telegram refuses the token; it is tried again now and then ·
 * `elsewhere` the right to poll is not this instance's: another one has it, or nobody yet · `stopped` by `stop`, or its module is broken.
 */
export type PollerPhase = "starting" | "polling" | "waiting" | "full" | "disabled" | "elsewhere" | "stopped";

export interface PollerState {
  readonly phase: PollerPhase;
  /** When this phase began, wall-clock ms. */
  readonly since: number;
  /** What went wrong last and what to do about it, for an operator; undefined once it goes well again. Holds no secret. */
  readonly error: string | undefined;
  /** When Telegram last answered a poll, with updates or none, wall-clock ms. */
  readonly polledAt: number | undefined;
}

export interface PollerJournal {
  readonly state: PollerState;
  /** Enters a phase, keeping the last error. */
  enter(phase: PollerPhase): void;
  /** Enters a phase because of an error. */
  fail(phase: PollerPhase, error: string): void;
  /** All goes well: polling, no error. */
  recover(): void;
  /** All goes well, but somebody else polls, or nobody yet. */
  elsewhere(): void;
  polled(): void;
}

/** Calls `onState` whenever phase or error differ from what it was told last. */
export function createPollerJournal(clock: Clock, onState: (state: PollerState) => void): PollerJournal {
  let state: PollerState = { phase: "starting", since: clock.now(), error: undefined, polledAt: undefined };

  function change(phase: PollerPhase, error: string | undefined): void {
    if (phase === state.phase && error === state.error) return;
    state = { ...state, phase, error, since: phase === state.phase ? state.since : clock.now() };
    onState(state);
  }

  return {
    get state() {
      return state;
    },
    enter: (phase) => change(phase, state.error),
    fail: change,
    recover: () => change("polling", undefined),
    elsewhere: () => change("elsewhere", undefined),
    polled: () => void (state = { ...state, polledAt: clock.now() }),
  };
}
