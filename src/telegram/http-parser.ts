/** Reads the answers of one HTTP/1.1 connection, one after the other, split anywhere. Pure: no sockets, no time. */
import { Bytes } from "./bytes.ts";
import { ChunkedBody } from "./http-chunks.ts";
import type { ChunksLimits } from "./http-chunks.ts";
import { parseHead } from "./http-head.ts";
import type { AnswerHead } from "./http-head.ts";

/** `more` is to come · `whole` the answer is there · `malformed` it is no HTTP/1.1 answer · `too_large` longer than is read. */
export type Progress = "more" | "whole" | "malformed" | "too_large";

export type ParserLimits = ChunksLimits;

/**
 * After anything but `more` it reads nothing until `reset`. Interim answers (1xx) are skipped. Does not decode: `encoding` says what the
 * body is packed with.
 */
export class AnswerParser {
  readonly #limits: ParserLimits;
  readonly #separator = Buffer.from("\r\n\r\n");
  #stage: "head" | "fixed" | "chunked" | "until_close" = "head";
  #progress: Progress = "more";
  #head: AnswerHead | undefined;
  /** The beginning of a head that came in pieces. */
  readonly #begun = new Bytes();
  readonly #body = new Bytes();
  #chunks: ChunkedBody | undefined;
  /** A body that came in one piece is read where it lies. */
  #piece: Buffer | undefined;
  #from = 0;
  #to = 0;
  #surplus = false;

  constructor(limits: ParserLimits) {
    this.#limits = limits;
  }

  /** Takes `piece` over: its bytes must not change afterwards. */
  push(piece: Buffer): Progress {
    let at = 0;
    while (this.#progress === "more" && at < piece.length) at = this.#read(piece, at);
    if (at < piece.length) this.#surplus = true;
    return this.#progress;
  }

  /** The server has closed in good order. True where that makes the answer whole. */
  end(): boolean {
    if (this.#stage === "until_close" && this.#progress === "more") this.#progress = "whole";
    return this.#progress === "whole";
  }

  /** Of the last head that was read; 0 before. */
  get status(): number {
    return this.#head?.status ?? 0;
  }

  get encoding(): string {
    return this.#head?.encoding ?? "";
  }

  /** See AnswerHead. */
  get keptMs(): number | undefined {
    return this.#head?.keptMs;
  }

  /** Whether the next request may use the connection: the answer is whole, ends where it says, and not a byte follows it. */
  get reusable(): boolean {
    return this.#progress === "whole" && !this.#surplus && this.#head?.reusable === true;
  }

  /** The body as UTF-8, without a byte-order mark. */
  text(): string {
    const text =
      this.#piece === undefined
        ? this.#body.view().toString("utf8")
        : this.#piece.toString("utf8", this.#from, this.#to);
    return text.charCodeAt(0) === byteOrderMark ? text.slice(1) : text;
  }

  /** The body as it came. Valid until `reset`. */
  bytes(): Buffer {
    return this.#piece?.subarray(this.#from, this.#to) ?? this.#body.view();
  }

  /** Makes ready for the next answer, where the connection is `reusable`. */
  reset(): void {
    this.#stage = "head";
    this.#progress = "more";
    this.#head = undefined;
    this.#chunks = undefined;
    this.#piece = undefined;
    if (this.#body.length > 0) this.#body.clear();
  }

  #read(piece: Buffer, at: number): number {
    switch (this.#stage) {
      case "head":
        return this.#readHead(piece, at);
      case "fixed":
        return this.#readFixed(piece, at);
      case "chunked": {
        if (this.#chunks === undefined) return piece.length;
        const to = this.#chunks.push(piece, at);
        this.#progress = this.#chunks.state;
        return to;
      }
      case "until_close":
        if (this.#body.length + piece.length - at > this.#limits.bodyMaxBytes) this.#progress = "too_large";
        else this.#body.append(piece, at, piece.length);
        return piece.length;
    }
  }

  #readHead(piece: Buffer, at: number): number {
    const { headMaxBytes } = this.#limits;
    const before = this.#begun.length;
    if (before === 0) {
      const end = piece.indexOf(this.#separator, at);
      if (end >= 0) {
        this.#takeHead(piece, at, end);
        return end + 4;
      }
    }
    // A head that came in pieces is put together first; `end` is looked for where the last piece can have completed it.
    this.#begun.append(piece, at, Math.min(piece.length, at + headMaxBytes + 4 - before));
    const begun = this.#begun.view();
    const end = begun.indexOf(this.#separator, Math.max(0, before - 3));
    if (end < 0) {
      // Three bytes of the separator may be there already.
      if (begun.length > headMaxBytes + 3) this.#progress = "too_large";
      return piece.length;
    }
    this.#takeHead(begun, 0, end);
    this.#begun.clear();
    return at + end + 4 - before;
  }

  #takeHead(bytes: Buffer, from: number, to: number): void {
    if (to - from > this.#limits.headMaxBytes) {
      this.#progress = "too_large";
      return;
    }
    const head = parseHead(bytes.toString("latin1", from, to));
    // Nobody asked to change protocols: what follows is not HTTP.
    if (head === undefined || head.status === 101) {
      this.#progress = "malformed";
      return;
    }
    if (head.status < 200) return;
    this.#head = head;
    const { framing } = head;
    if (framing === "chunked") {
      this.#chunks = new ChunkedBody(this.#body, this.#limits);
      this.#stage = framing;
    } else if (framing === "until_close") this.#stage = framing;
    else if (framing > this.#limits.bodyMaxBytes) this.#progress = "too_large";
    else if (framing === 0) this.#progress = "whole";
    else {
      this.#stage = "fixed";
      this.#to = framing;
    }
  }

  #readFixed(piece: Buffer, at: number): number {
    const length = this.#to;
    const left = length - this.#body.length;
    const to = Math.min(piece.length, at + left);
    if (to - at === length) {
      this.#piece = piece;
      this.#from = at;
      this.#to = to;
      this.#progress = "whole";
      return to;
    }
    this.#body.append(piece, at, to, length);
    if (to - at === left) this.#progress = "whole";
    return to;
  }
}

const byteOrderMark = 0xfeff;
