/** The transport over sockets that do what the test says. */
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply, HttpRequest } from "../../src/telegram/exchange.ts";
import type { PoolLimits } from "../../src/telegram/pool.ts";
import type { Target, Wire, WireEvents } from "../../src/telegram/socket.ts";
import { createOwnTransport } from "../../src/telegram/transport.ts";
import type { OwnTransport } from "../../src/telegram/transport.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { answer } from "../support/raw-server.ts";

/** One attempt of the transport to connect. */
export class Dialed implements Wire {
  readonly target: Target;
  readonly events: WireEvents;
  /** What was written, as UTF-8. */
  got = "";
  /** Bytes that the next write takes at most; -1 as a closed one. */
  takes = Infinity;
  ended: "no" | "end" | "terminate" = "no";

  constructor(target: Target, events: WireEvents) {
    this.target = target;
    this.events = events;
  }

  open(): void {
    this.events.opened(this);
  }

  /** Answers what has been asked. */
  answer(text: string): void {
    this.got = "";
    this.events.received(Buffer.from(answer(text)));
  }

  write(data: string | Uint8Array): number {
    if (this.takes < 0) return -1;
    const bytes = Buffer.from(data as string);
    const taken = bytes.subarray(0, Math.min(bytes.length, this.takes));
    this.got += taken.toString("latin1");
    return taken.length;
  }

  end(): void {
    this.ended = "end";
  }

  terminate(): void {
    this.ended = "terminate";
  }
}

export interface Rig {
  readonly clock: FakeClock;
  readonly transport: OwnTransport;
  readonly dialed: Dialed[];
  readonly call: (body?: string, more?: Partial<HttpRequest>) => Promise<HttpReply>;
  readonly poll: () => Promise<HttpReply>;
}

const limits: PoolLimits = {
  callsMaxPerHost: 2,
  pollsMaxPerHost: 2,
  waitingMaxPerHost: 3,
  dialsMaxPerHost: 10,
  connectMaxMs: 5_000,
  idleMaxMs: 15_000,
  answerHeadMaxBytes: 1_000,
  answerMaxBytes: 1_000,
};

export function rig(more: Partial<PoolLimits> = {}, listeners = createAbortListeners()): Rig {
  const clock = new FakeClock();
  const dialed: Dialed[] = [];
  const transport = createOwnTransport({
    clock,
    deadlines: createDeadlines({ clock, tickMs: 100 }),
    listeners,
    limits: { ...limits, ...more },
    connect: (target, events) => void dialed.push(new Dialed(target, events)),
  });
  const base = { contentType: "application/json", maxMs: 20_000 };
  const root = "https://telegram.example:8443/bot1:x";
  return {
    clock,
    transport,
    dialed,
    call: (body = "{}", options = {}) => transport.exchange({ ...base, url: `${root}/getMe`, body, ...options }),
    poll: () => transport.exchange({ ...base, url: `${root}/getUpdates`, body: "{}", maxMs: 60_000 }),
  };
}

/** The attempt `at`; it has been made. */
export function wire({ dialed }: Rig, at: number): Dialed {
  const found = dialed[at];
  if (found === undefined) throw new Error(`there were ${dialed.length} attempts`);
  return found;
}

export const failure = (why: string, code = ""): object => ({ kind: "failed", why, code });
export const answered = (text: string): object => ({ kind: "answered", status: 200, text });
