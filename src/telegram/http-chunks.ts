/** A chunked body (RFC 9112 7.1) that may be split anywhere. */
import type { Bytes } from "./bytes.ts";

export type ChunksState = "more" | "whole" | "malformed" | "too_large";

export interface ChunksLimits {
  /** Lines of sizes and trailers together, bytes. */
  readonly headMaxBytes: number;
  readonly bodyMaxBytes: number;
}

/** Extensions and trailers are read and forgotten. Line ends must be CRLF: a bare one is where two readers may disagree. */
export class ChunkedBody {
  state: ChunksState = "more";
  readonly #body: Bytes;
  readonly #limits: ChunksLimits;
  #stage: "size" | "data" | "data_end" | "trailer" = "size";
  #left = 0;
  #line = "";
  /** Bytes of lines since the last data. */
  #lineBytes = 0;

  /** `body` receives the data. */
  constructor(body: Bytes, limits: ChunksLimits) {
    this.#body = body;
    this.#limits = limits;
  }

  /** Reads `piece` from `at` on. Returns how far: less than to its end only where `state` says that nothing more is read. */
  push(piece: Buffer, at: number): number {
    let from = at;
    while (this.state === "more" && from < piece.length) {
      from = this.#stage === "data" ? this.#readData(piece, from) : this.#readLine(piece, from);
    }
    return from;
  }

  #readData(piece: Buffer, at: number): number {
    const to = Math.min(piece.length, at + this.#left);
    this.#body.append(piece, at, to);
    this.#left -= to - at;
    if (this.#left === 0) this.#stage = "data_end";
    return to;
  }

  #readLine(piece: Buffer, at: number): number {
    const found = piece.indexOf(lineFeed, at);
    const to = found < 0 ? piece.length : found + 1;
    this.#lineBytes += to - at;
    if (this.#lineBytes > this.#limits.headMaxBytes) {
      this.state = "too_large";
      return to;
    }
    this.#line += piece.toString("latin1", at, to);
    if (found >= 0) this.#endLine();
    return to;
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = "";
    if (!lineForm.test(line)) this.state = "malformed";
    else if (this.#stage === "size") this.#readSize(line);
    else if (this.#stage === "data_end") {
      if (line === "\r\n") this.#stage = "size";
      else this.state = "malformed";
    } else if (line === "\r\n") this.state = "whole";
    else if (!trailerForm.test(line)) this.state = "malformed";
  }

  #readSize(line: string): void {
    const digits = sizeForm.exec(line)?.[1];
    if (digits === undefined) {
      this.state = "malformed";
      return;
    }
    this.#left = Number.parseInt(digits, 16);
    if (this.#left === 0) {
      this.#stage = "trailer";
      return;
    }
    if (this.#left > this.#limits.bodyMaxBytes - this.#body.length) this.state = "too_large";
    this.#stage = "data";
    this.#lineBytes = 0;
  }
}

const lineFeed = 0x0a;
const lineForm = /^[^\r\n\0]*\r\n$/;
const sizeForm = /^([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?\r\n$/;
const trailerForm = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/;
