/**
 * Mutated answers against the parser and a connection. 100,000 in the suite; more with
 *
 *     FUZZ=1000000 bun test test/telegram/http-parser-fuzz.test.ts
 *
 * The seed is printed where something is found; `FUZZ_SEED` plays it again.
 */
import { expect, test } from "bun:test";
import { Connection } from "../../src/telegram/connection.ts";
import type { HttpReply } from "../../src/telegram/exchange.ts";
import { AnswerParser } from "../../src/telegram/http-parser.ts";
import { referenceAnswer } from "./reference-answer.ts";

const runs = Number(process.env["FUZZ"] ?? 100_000);
const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 32));
/** No mutation makes one out of another. */
const names = ["alpha alpha", "bravo bravo", "delta delta", "kilos kilos"] as const;
const limits = { headMaxBytes: 400, bodyMaxBytes: 600 };

/** Mulberry32: numbers in [0, 1) that a seed repeats. */
function randomOf(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Below = (max: number) => number;

function pick<T>(below: Below, from: readonly [T, ...T[]]): T {
  return from[below(from.length)] ?? from[0];
}

const fields = [
  "",
  "Server: nginx\r\n",
  "Connection: keep-alive\r\n",
  "Connection: close\r\n",
  "Keep-Alive: timeout=5\r\n",
  "Content-Type: application/json\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Content-Length: 7\r\n",
  "Content-Encoding: gzip\r\n",
] as const;

/** A valid answer; `body` is in it once. */
function makeAnswer(below: Below, body: string): string {
  const version = below(8) === 0 ? "HTTP/1.0" : "HTTP/1.1";
  const status = pick(below, ["200 OK", "200 OK", "429 Too Many Requests", "502", "204 No Content", "304 X"]);
  const interim = below(6) === 0 ? "HTTP/1.1 100 Continue\r\n\r\n" : "";
  const head = `${interim}${version} ${status}\r\n${pick(below, fields.slice(0, 6) as [string])}`;
  if (below(10) === 0) return `${head}\r\n${body}`;
  if (below(2) === 0) return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  const cut = below(body.length - 1) + 1;
  const chunks = [body.slice(0, cut), body.slice(cut)].map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`);
  return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks.join("")}0\r\n${below(4) === 0 ? "A: b\r\n" : ""}\r\n`;
}

const tokens = [
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  "\0",
  ":",
  " ",
  ";",
  ",",
  "0",
  "0\r\n\r\n",
  "ffffffff",
  "-1",
  "HTTP/1.1 200 OK\r\n",
];

function mutate(below: Below, text: string, other: string): string {
  const at = below(text.length + 1);
  const to = Math.min(text.length, at + below(12));
  switch (below(9)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + text.slice(to);
    case 2:
      return text.slice(0, at) + (tokens[below(tokens.length)] ?? "") + text.slice(at);
    case 3:
      return text.slice(0, at) + text.slice(at, to).repeat(2 + below(40)) + text.slice(to);
    case 4:
      return text.slice(0, at);
    case 5:
      return text.slice(0, at) + other.slice(below(other.length));
    case 6: {
      const line = text.indexOf("\r\n", at);
      return line < 0 ? text : text.slice(0, line + 2) + pick(below, fields) + text.slice(line + 2);
    }
    case 7:
      // Another length than the true one.
      return text.replace(/\d+(?=\r\n)/, (digits) => String(Math.max(0, Number(digits) + below(9) - 4)));
    default:
      return text + other;
  }
}

function split(below: Below, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  const longest = pick(below, [1, 3, 20, 200, 1_000]);
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + 1 + below(longest));
    pieces.push(bytes.subarray(at, to));
    at = to;
  }
  return pieces;
}

/** What the parser makes of it, in pieces. */
function parse(parser: AnswerParser, pieces: readonly Buffer[], closes: boolean): object {
  let progress: string = "more";
  for (const piece of pieces) progress = parser.push(piece);
  if (closes && progress === "more" && parser.end()) progress = "whole";
  const known = progress === "whole";
  return {
    kind: progress,
    ...(known && { status: parser.status, body: parser.bytes().toString("latin1") }),
    reusable: parser.reusable,
  };
}

/** What it must make of it. */
function judge(bytes: Buffer, closes: boolean): object {
  const answer = referenceAnswer(bytes, closes, limits);
  if (answer.kind !== "whole") return { kind: answer.kind, reusable: false };
  const { status, body, end, reusable } = answer;
  return { kind: "whole", status, body: body.toString("latin1"), reusable: reusable && end === bytes.length };
}

test(`${runs} mutated answers, split anywhere, are read as by a plain reader of the whole`, () => {
  const seen: Record<string, number> = {};
  for (let run = 0; run < runs; run++) {
    const random = randomOf(seed + run);
    const below: Below = (max) => Math.floor(random() * max);
    let text = makeAnswer(below, `{"a":${run}}`);
    const other = makeAnswer(below, '{"b":"other"}');
    for (let times = below(4); times > 0; times--) text = mutate(below, text, other);
    const bytes = Buffer.from(text, "latin1");
    const closes = below(2) === 0;
    const got = parse(new AnswerParser(limits), split(below, bytes), closes);
    const right = judge(bytes, closes);
    if (!Bun.deepEquals(got, right))
      expect({ FUZZ_SEED: seed + run, text, ...got }).toEqual({ FUZZ_SEED: seed + run, text, ...right });
    const { kind, reusable } = right as { kind: string; reusable: boolean };
    seen[kind + (reusable ? ", kept" : "")] = (seen[kind + (reusable ? ", kept" : "")] ?? 0) + 1;
  }
  if (runs > 100_000) console.log(seen);
  // The test is worth its name only where each end is met often.
  for (const kind of ["more", "whole", "whole, kept", "malformed", "too_large"]) {
    expect([kind, (seen[kind] ?? 0) > runs / 500]).toEqual([kind, true]);
  }
}, 600_000);

/** A connection whose wire takes everything, and what its owner was told. */
class Line {
  freed = 0;
  gone = 0;
  readonly connection = new Connection(
    { opened: () => {}, refused: () => {}, freed: () => this.freed++, gone: () => this.gone++ },
    limits,
  );

  constructor() {
    this.connection.opened({ write: () => 1, end: () => {}, terminate: () => {} });
  }
}

test(`of ${runs / 4} connections with mutated answers none gives an answer to another request, and none hangs on after its end`, () => {
  let given = 0;
  for (let run = 0; run < runs / 4; run++) {
    const random = randomOf(seed - 1 - run);
    const below: Below = (max) => Math.floor(random() * max);
    const line = new Line();
    for (const name of names) {
      const replies: HttpReply[] = [];
      const freed = line.freed;
      if (!line.connection.send({ text: "x", bytes: 1, end: (reply) => replies.push(reply) })) break;
      let text = makeAnswer(below, `{"request":"${name}"}`);
      if (below(3) === 0) text = mutate(below, text, makeAnswer(below, `{"again":"${name}"}`));
      for (const piece of split(below, Buffer.from(text, "latin1"))) line.connection.received(piece);
      if (below(20) === 0) line.connection.closed("");
      const context = { FUZZ_SEED: seed, run, text, replies };
      // Never two ends, and none without the connection being free or gone.
      if (replies.length > 1 || (replies.length === 1) !== (line.freed > freed || line.gone === 1)) {
        expect(context).toBeUndefined();
      }
      const [reply] = replies;
      const others = reply?.kind === "answered" ? names.filter((other) => other !== name) : [];
      if (others.some((other) => reply?.kind === "answered" && reply.text.includes(other))) {
        expect(context).toBeUndefined();
      }
      if (reply?.kind === "answered") given++;
      if (replies.length === 0) {
        // It waits for more, as it must: its deadline drops it.
        line.connection.abort({ kind: "failed", why: "deadline", code: "" });
      }
    }
    if (line.gone > 1) expect({ FUZZ_SEED: seed, run, gone: line.gone }).toBeUndefined();
  }
  expect(given).toBeGreaterThan(runs / 4);
}, 600_000);
