/**
 * The connections to one host, and who may use them.
 *
 * A waiting `getUpdates` occupies its connection for up to 50 s. Counted among the calls, the polls of 400 bots would leave the replies of
 * the same bots without a connection as soon as the limit is below bots plus calls; so polls and calls are admitted apart, each up to a
 * limit of its own, and neither can starve the other. Connections themselves are not of one kind: whoever is admitted takes the one that
 * was used last, so that those not needed grow old and are closed.
 *
 * Longer than other files: admission, idle connections and attempts to connect change the same few counts, which two files would share.
 */
import type { Clock } from "../clock.ts";
import { Connection, failed } from "./connection.ts";
import type { ConnectionOwner, Sendable } from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Connect, Target } from "./socket.ts";

export interface PoolLimits {
  /** Calls to one host that are on their way at a time. */
  readonly callsMaxPerHost: number;
  /** `getUpdates` to one host that are on their way at a time: at least as many as bots. */
  readonly pollsMaxPerHost: number;
  /** Calls, and polls, that wait to be admitted; the next one is `unreachable`. */
  readonly waitingMaxPerHost: number;
  /** Connections to one host that are being opened at a time. */
  readonly dialsMaxPerHost: number;
  /** Wait of an admitted request for a connection, ms; then it is `unreachable`. */
  readonly connectMaxMs: number;
  /** Time without a request after which a connection is closed, ms: less than servers keep it. */
  readonly idleMaxMs: number;
  /** Head of an answer, or lines of chunk sizes and trailers, bytes. */
  readonly answerHeadMaxBytes: number;
  readonly answerMaxBytes: number;
}

export interface PoolOptions {
  readonly target: Target;
  readonly connect: Connect;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly limits: PoolLimits;
}

/** A request that wants to be sent. What is not readonly is the pool's. */
export interface Admittable extends Sendable {
  readonly isPoll: boolean;
  /** Carries it; undefined before and after. */
  connection: Connection | undefined;
  /** Calls off the limit of its wait for a connection. */
  stopWaiting: (() => void) | undefined;
  isAdmitted: boolean;
}

export interface PoolStats {
  /** Connections, those that are being opened among them. */
  readonly open: number;
  readonly dialing: number;
  readonly idle: number;
  readonly calls: number;
  readonly polls: number;
  /** Requests that wait for admission or for a connection. */
  readonly waiting: number;
  /** Connections that were opened since the start. */
  readonly opened: number;
}

interface Gate {
  readonly max: number;
  admitted: number;
  readonly queue: Set<Admittable>;
}

export class Pool implements ConnectionOwner {
  readonly #options: PoolOptions;
  readonly #calls: Gate;
  readonly #polls: Gate;
  readonly #connections = new Set<Connection>();
  /** The one used last is at the end. */
  #idle: Connection[] = [];
  /** Admitted and without a connection, in order. While there are any, no connection is idle. */
  readonly #wanting = new Set<Admittable>();
  #dialing = 0;
  #opened = 0;
  /** The network swallows attempts: each holds its socket for minutes, so only few are made until one succeeds. */
  #isSwallowing = false;
  #isStopped = false;
  #stopSweeping: (() => void) | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    const gate = (max: number): Gate => ({ max, admitted: 0, queue: new Set() });
    this.#calls = gate(options.limits.callsMaxPerHost);
    this.#polls = gate(options.limits.pollsMaxPerHost);
  }

  /** Sends `request` as soon as there is a connection; ends it where there is none to be had. */
  submit(request: Admittable): void {
    const gate = request.isPoll ? this.#polls : this.#calls;
    if (this.#isStopped) request.end(failed("aborted"));
    else if (gate.admitted < gate.max) this.#admit(gate, request);
    else if (gate.queue.size < this.#options.limits.waitingMaxPerHost) gate.queue.add(request);
    else request.end(failed("unreachable", "EAGAIN"));
  }

  /** `request` has ended, whatever it was doing: a connection that still carries it is closed, and the next one is let in. */
  leave(request: Admittable): void {
    const gate = request.isPoll ? this.#polls : this.#calls;
    if (!request.isAdmitted) {
      gate.queue.delete(request);
      return;
    }
    request.isAdmitted = false;
    gate.admitted--;
    this.#forget(request);
    request.connection?.drop(request);
    if (gate.queue.size === 0 || this.#isStopped) return;
    const [next] = gate.queue;
    if (next === undefined) return;
    gate.queue.delete(next);
    this.#admit(gate, next);
  }

  /** Ends every request with `aborted` and closes every connection. */
  stop(): void {
    this.#isStopped = true;
    this.#stopSweeping?.();
    const waiting = [...this.#wanting, ...this.#calls.queue, ...this.#polls.queue];
    for (const request of waiting) request.end(failed("aborted"));
    for (const connection of this.#connections) connection.abort(failed("aborted"));
  }

  stats(): PoolStats {
    return {
      open: this.#connections.size,
      dialing: this.#dialing,
      idle: this.#idle.length,
      calls: this.#calls.admitted,
      polls: this.#polls.admitted,
      waiting: this.#wanting.size + this.#calls.queue.size + this.#polls.queue.size,
      opened: this.#opened,
    };
  }

  opened(connection: Connection): void {
    this.#endDial(connection);
    this.#isSwallowing = false;
    this.#opened++;
    const [next] = this.#wanting;
    if (next === undefined) this.#rest(connection, undefined);
    else {
      this.#forget(next);
      // Closed again before it could be used: another attempt would very likely end the same way.
      if (!this.#give(connection, next)) next.end(failed("unreachable", "ECONNRESET"));
    }
    this.#dial();
  }

  refused(connection: Connection, code: string): void {
    const inTime = connection.stopDialing !== undefined;
    this.#endDial(connection);
    this.#connections.delete(connection);
    // An attempt that was given up as swallowed says nothing about those made since.
    const [next] = inTime ? this.#wanting : [];
    next?.end(failed("unreachable", code));
    this.#dial();
  }

  freed(connection: Connection, keptMs: number | undefined): void {
    if (this.#wanting.size > 0) {
      const [next] = this.#wanting;
      if (next !== undefined) this.#give(connection, next);
    } else this.#rest(connection, keptMs);
  }

  gone(connection: Connection): void {
    this.#endDial(connection);
    this.#connections.delete(connection);
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#dial();
  }

  #admit(gate: Gate, request: Admittable): void {
    gate.admitted++;
    request.isAdmitted = true;
    const nowMs = this.#options.clock.monotonic();
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.idleUntilMs <= nowMs) idle.close();
      // Closed before a byte was written: the next one will do.
      else if (this.#give(idle, request)) return;
    }
    this.#wanting.add(request);
    request.stopWaiting = this.#options.deadlines.add(this.#options.limits.connectMaxMs, () =>
      request.end(failed("unreachable", "ETIMEDOUT")),
    );
    this.#dial();
  }

  /** False where the connection turned out closed: nothing of `request` has left. */
  #give(connection: Connection, request: Admittable): boolean {
    request.connection = connection;
    if (connection.send(request)) {
      this.#forget(request);
      return true;
    }
    request.connection = undefined;
    return false;
  }

  /** `request` wants no connection any more. */
  #forget(request: Admittable): void {
    if (request.stopWaiting === undefined) return;
    this.#wanting.delete(request);
    request.stopWaiting();
    request.stopWaiting = undefined;
  }

  #rest(connection: Connection, keptMs: number | undefined): void {
    const { clock, deadlines, limits } = this.#options;
    const restMs = keptMs === undefined ? limits.idleMaxMs : Math.min(limits.idleMaxMs, keptMs - keptMarginMs);
    if (restMs <= 0) {
      connection.close();
      return;
    }
    connection.idleUntilMs = clock.monotonic() + restMs;
    this.#idle.push(connection);
    this.#stopSweeping ??= deadlines.add(sweepMs, () => this.#sweep());
  }

  #sweep(): void {
    const { clock, deadlines } = this.#options;
    const nowMs = clock.monotonic();
    const old = this.#idle.filter(({ idleUntilMs }) => idleUntilMs <= nowMs);
    if (old.length > 0) this.#idle = this.#idle.filter(({ idleUntilMs }) => idleUntilMs > nowMs);
    for (const connection of old) connection.close();
    this.#stopSweeping = this.#idle.length === 0 ? undefined : deadlines.add(sweepMs, () => this.#sweep());
  }

  /** One attempt for each request that wants a connection, within the limits; whichever becomes free first takes it. */
  #dial(): void {
    const { target, connect, deadlines, limits } = this.#options;
    const dialsMax = Math.min(limits.dialsMaxPerHost, this.#isSwallowing ? swallowedDialsMax : Infinity);
    const openMax = limits.callsMaxPerHost + limits.pollsMaxPerHost;
    while (this.#wanting.size > this.#dialing && this.#dialing < dialsMax && this.#connections.size < openMax) {
      const connection = new Connection(this, {
        headMaxBytes: limits.answerHeadMaxBytes,
        bodyMaxBytes: limits.answerMaxBytes,
      });
      this.#connections.add(connection);
      this.#dialing++;
      connection.stopDialing = deadlines.add(limits.connectMaxMs, () => {
        this.#isSwallowing = true;
        this.#endDial(connection);
        this.#dial();
      });
      connect(target, connection);
    }
  }

  /** It is open, has failed, or takes so long that others may be made meanwhile. */
  #endDial(connection: Connection): void {
    if (connection.stopDialing === undefined) return;
    connection.stopDialing();
    connection.stopDialing = undefined;
    this.#dialing--;
  }
}

/** A server that says how long it keeps a connection counts from an earlier moment than we do. */
const keptMarginMs = 1_000;
/** How often old connections are looked for. None is used after its time, whenever that is. */
const sweepMs = 1_000;
const swallowedDialsMax = 8;
