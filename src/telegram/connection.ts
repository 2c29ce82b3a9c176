/** One connection of a pool: carries one request at a time and is never used again after anything but a perfectly delimited answer. */
import { unpack } from "./content-encoding.ts";
import type { HttpReply } from "./exchange.ts";
import { AnswerParser } from "./http-parser.ts";
import type { ParserLimits } from "./http-parser.ts";
import type { Wire, WireEvents } from "./socket.ts";

/** A request on its way. */
export interface Sendable {
  /** Head and body. */
  readonly text: string;
  /** Of `text` in UTF-8. */
  readonly bytes: number;
  /** Ends it, once. */
  end(reply: HttpReply): void;
}

export interface ConnectionOwner {
  opened(connection: Connection): void;
  /** Could not be opened. Instead of `opened` and `gone`. */
  refused(connection: Connection, code: string): void;
  /** The answer is there, and the next request may be sent. Comes before the exchange ends. */
  freed(connection: Connection, keptMs: number | undefined): void;
  /** Will not be used again. Once. */
  gone(connection: Connection): void;
}

export function failed(why: Extract<HttpReply, { kind: "failed" }>["why"], code = ""): HttpReply {
  return { kind: "failed", why, code };
}

export class Connection implements WireEvents {
  /** The owner's: when it must not be used again although nobody has closed it, ms of the monotonic clock. */
  idleUntilMs = 0;
  /** The owner's: calls off the limit of the attempt to open it. */
  stopDialing: (() => void) | undefined;
  readonly #owner: ConnectionOwner;
  readonly #parser: AnswerParser;
  readonly #bodyMaxBytes: number;
  /** `abandoned`: closed while it was dialing. */
  #state: "dialing" | "abandoned" | "open" | "closed" = "dialing";
  #wire: Wire | undefined;
  #sent: Sendable | undefined;
  /** What the socket has not taken yet. */
  #unsent: Buffer | undefined;

  constructor(owner: ConnectionOwner, limits: ParserLimits) {
    this.#owner = owner;
    this.#parser = new AnswerParser(limits);
    this.#bodyMaxBytes = limits.bodyMaxBytes;
  }

  /** Sends `request` in one write. False where the connection has turned out closed: then surely not a byte has left. */
  send(request: Sendable): boolean {
    const written = this.#state === "open" && this.#wire !== undefined ? this.#wire.write(request.text) : -1;
    if (written < 0) {
      this.close();
      return false;
    }
    this.#sent = request;
    if (written < request.bytes) this.#unsent = Buffer.from(request.text).subarray(written);
    return true;
  }

  /** Idle: closes in good order. With a request on its way: drops it at once, without ending it. */
  close(): void {
    if (this.#state === "dialing") {
      // An attempt cannot be called off: it holds its socket until it has come to an end.
      this.#state = "abandoned";
      return;
    }
    if (this.#state !== "open") return;
    this.#state = "closed";
    if (this.#sent === undefined) this.#wire?.end();
    else this.#wire?.terminate();
    this.#sent = undefined;
    this.#unsent = undefined;
    this.#owner.gone(this);
  }

  /** Closes where it still carries `request`. */
  drop(request: Sendable): void {
    if (this.#sent === request) this.close();
  }

  /** Closes, and ends what it carries with `reply`. */
  abort(reply: HttpReply): void {
    const sent = this.#sent;
    this.close();
    sent?.end(reply);
  }

  opened(wire: Wire): void {
    if (this.#state === "dialing") {
      this.#state = "open";
      this.#wire = wire;
      this.#owner.opened(this);
      return;
    }
    wire.terminate();
    this.refused("");
  }

  refused(code: string): void {
    const state = this.#state;
    if (state === "open" || state === "closed") return;
    this.#state = "closed";
    if (state === "dialing") this.#owner.refused(this, code);
    else this.#owner.gone(this);
  }

  received(piece: Buffer): void {
    const sent = this.#sent;
    if (sent === undefined) {
      // Nobody has asked: given to the next request it would be the wrong answer.
      this.close();
      return;
    }
    switch (this.#parser.push(piece)) {
      case "more":
        return;
      case "whole":
        return this.#finish(sent);
      case "malformed":
        return this.abort(failed("closed", malformedCode));
      case "too_large":
        return this.abort(failed("too_large"));
    }
  }

  drained(): void {
    const unsent = this.#unsent;
    if (unsent === undefined || this.#wire === undefined) return;
    const written = Math.max(0, this.#wire.write(unsent));
    this.#unsent = written < unsent.length ? unsent.subarray(written) : undefined;
  }

  closed(code: string): void {
    if (this.#state !== "open") {
      this.refused(code || "ECONNRESET");
      return;
    }
    if (this.#sent === undefined) this.close();
    else this.abort(code === "" && this.#parser.end() ? this.#answer() : failed("closed", code));
  }

  #finish(sent: Sendable): void {
    const parser = this.#parser;
    const reply = this.#answer();
    // An answer that came before its request was sent to the end: the rest would be read as the next one.
    if (parser.reusable && this.#unsent === undefined) {
      const { keptMs } = parser;
      this.#sent = undefined;
      parser.reset();
      this.#owner.freed(this, keptMs);
    } else this.close();
    sent.end(reply);
  }

  #answer(): HttpReply {
    const { status, encoding } = this.#parser;
    if (encoding === "") return { kind: "answered", status, text: this.#parser.text() };
    const unpacked = unpack(encoding, this.#parser.bytes(), this.#bodyMaxBytes);
    if (unpacked === "malformed") return failed("closed", malformedCode);
    return unpacked === "too_large" ? failed("too_large") : { kind: "answered", status, text: unpacked.text };
  }
}

/** The system's word for a message that is none. */
const malformedCode = "EBADMSG";
