import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Bytes } from "../../src/telegram/bytes.ts";
import { AnswerParser } from "../../src/telegram/http-parser.ts";
import type { Progress } from "../../src/telegram/http-parser.ts";
import { parseHead } from "../../src/telegram/http-head.ts";
import { referenceAnswer } from "./reference-answer.ts";

const limits = { headMaxBytes: 1_000, bodyMaxBytes: 5_000 };

interface Read {
  readonly progress: Progress | "cut";
  readonly status: number;
  readonly text: string;
  readonly reusable: boolean;
}

/** Feeds `pieces`; `closes`: then the server closes. */
function read(pieces: readonly Buffer[], closes = false, parser = new AnswerParser(limits)): Read {
  let progress: Read["progress"] = "more";
  for (const piece of pieces) progress = parser.push(piece);
  if (closes && progress === "more") progress = parser.end() ? "whole" : "cut";
  return { progress, status: parser.status, text: parser.text(), reusable: parser.reusable };
}

const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

test.each([
  ["a usual one", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}"],
  ["names in any case, any space around values", "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh:\t 2 \t\r\n\r\n{}", "{}"],
  ["no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", "{}"],
  ["nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""],
  ["chunks", `${chunked}\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n`, "{}"],
  ["extensions and sizes in any form", `${chunked}\r\n0001;a=b\r\n{\r\n01 \t;q="x;y"\r\n}\r\n00;z\r\n\r\n`, "{}"],
  ["trailers", `${chunked}Trailer: A\r\n\r\n2\r\n{}\r\n0\r\nA: 1\r\nB:\r\n\r\n`, "{}"],
  [
    "interim answers",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 P\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "{}",
  ],
  ["204", "HTTP/1.1 204 No Content\r\n\r\n", ""],
  ["304 that says how long it would be", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", ""],
  [
    "an older server that keeps the connection",
    "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}",
    "{}",
  ],
  ["a byte-order mark", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\xef\xbb\xbf{}", "{}"],
])("an answer with %s is read wherever it is split, and the connection is kept", (_, text, body) => {
  const bytes = bytesOf(text);
  for (let one = 0; one <= bytes.length; one++) {
    for (let two = one; two <= bytes.length; two += 7) {
      const pieces = [bytes.subarray(0, one), bytes.subarray(one, two), bytes.subarray(two)];
      expect(read(pieces.filter((piece) => piece.length > 0))).toMatchObject({
        progress: "whole",
        text: body,
        reusable: true,
      });
    }
  }
  expect(read([...bytes].map((byte) => Buffer.from([byte])))).toMatchObject({ progress: "whole", text: body });
});

test.each([
  ["the server says so", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"],
  ["the server says so among others", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\n{}"],
  ["an older server does not say otherwise", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
  ["a byte follows", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\n"],
  [
    "another answer follows",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
  ],
  ["a byte follows the last chunk", `${chunked}\r\n2\r\n{}\r\n0\r\n\r\n0`],
  ["both kinds of length are given", `${chunked}Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n`],
  ["a length is given twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"],
])("the connection is not kept where %s", (_, text) => {
  expect(read([bytesOf(text)])).toMatchObject({ progress: "whole", text: "{}", reusable: false });
});

test("bytes that come after an answer take its connection away", () => {
  const parser = new AnswerParser(limits);
  parser.push(bytesOf("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
  expect(parser.reusable).toBe(true);
  parser.push(bytesOf("x"));
  expect(parser.reusable).toBe(false);
});

test("an answer without a length ends with its connection, in good order only", () => {
  const bytes = bytesOf("HTTP/1.1 200 OK\r\n\r\n{}");
  expect(read([bytes])).toMatchObject({ progress: "more" });
  expect(read([bytes], true)).toMatchObject({ progress: "whole", text: "{}", reusable: false });
});

test.each([
  ["nothing", ""],
  ["half a head", "HTTP/1.1 200 OK\r\nContent-"],
  ["an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"],
  ["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{"],
  ["half a chunk", `${chunked}\r\n2\r\n{`],
  ["no last chunk", `${chunked}\r\n2\r\n{}\r\n`],
  ["half a trailer", `${chunked}\r\n0\r\nA: b\r\n`],
])("%s is no answer when the server closes", (_, text) => {
  expect(read(text === "" ? [] : [bytesOf(text)], true)).toMatchObject({ progress: "cut", reusable: false });
});

test.each([
  ["another protocol", "SSH-2.0-x\r\n\r\n"],
  ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
  ["a change of protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"],
  ["a bare line end in the head", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\r\n{}"],
  ["a bare carriage return", "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 2\r\n\r\n{}"],
  ["a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}"],
  ["a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}"],
  ["a line without a colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n"],
  ["a nul", "HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 2\r\n\r\n{}"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}"],
  ["a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}"],
  ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"],
  ["an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n{}"],
  ["a length in hexadecimal", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\n{}"],
  ["another transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
  ["chunks twice over", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["chunks of an older server", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a chunk without a size", `${chunked}\r\n\r\n{}`],
  ["a chunk with a signed size", `${chunked}\r\n+2\r\n{}\r\n0\r\n\r\n`],
  ["a chunk with a size in words", `${chunked}\r\n2 2\r\n{}\r\n0\r\n\r\n`],
  ["a chunk longer than its size", `${chunked}\r\n2\r\n{}}\r\n0\r\n\r\n`],
  ["a chunk that ends in a bare line end", `${chunked}\r\n2\r\n{}\n0\r\n\r\n`],
  ["a size that ends in a bare line end", `${chunked}\r\n2\n{}\r\n0\r\n\r\n`],
  ["a trailer that is no field", `${chunked}\r\n0\r\nab\r\n\r\n`],
])("%s is malformed wherever it is split", (_, text) => {
  const bytes = bytesOf(text);
  for (let at = 1; at <= bytes.length; at++) {
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)].filter((piece) => piece.length > 0);
    expect(read(pieces)).toMatchObject({ progress: "malformed", reusable: false });
  }
});

test.each([
  ["a head without end", "HTTP/1.1 200 OK\r\nA: ".padEnd(1_200, "b")],
  ["a head that ends too late", `${"HTTP/1.1 200 OK\r\nA: ".padEnd(1_200, "b")}\r\n\r\n`],
  ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5001\r\n\r\n"],
  ["a length that no number holds", "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n"],
  ["a chunk", `${chunked}\r\n1389\r\n`],
  ["a chunk that no number holds", `${chunked}\r\nffffffffffffffff\r\n`],
  ["chunks together", `${chunked}\r\n1388\r\n${"x".repeat(5_000)}\r\n1\r\n`],
  ["an extension", `${chunked}\r\n1;${"x".repeat(1_000)}`],
  ["trailers", `${chunked}\r\n0\r\n${"A: bcdefghi\r\n".repeat(100)}\r\n`],
  ["a body without a length", `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(5_001)}`],
])("%s beyond the limit is too large, in one piece or byte by byte", (_, text) => {
  expect(read([bytesOf(text)]).progress).toBe("too_large");
  const parser = new AnswerParser(limits);
  let progress: Progress = "more";
  for (const byte of bytesOf(text)) if (progress === "more") progress = parser.push(Buffer.from([byte]));
  expect(progress).toBe("too_large");
});

test("lines of sizes are limited between two chunks, not all together", () => {
  const text = `${chunked}\r\n${"1;abcdef\r\nx\r\n".repeat(300)}0\r\n\r\n`;
  expect(read([bytesOf(text)])).toMatchObject({ progress: "whole", text: "x".repeat(300) });
});

test("memory is taken for bytes that came, not for those a server announces", () => {
  const bytes = new Bytes();
  bytes.append(Buffer.from("a"), 0, 1, 64 * 1024 * 1024);
  expect(bytes.view().buffer.byteLength).toBeLessThanOrEqual(256 * 1024);
});

test("what the server says of keeping the connection is read", () => {
  const keptMs = (value: string): number | undefined => parseHead(`HTTP/1.1 200 OK\r\nKeep-Alive: ${value}`)?.keptMs;
  expect(keptMs("timeout=5, max=100")).toBe(5_000);
  expect(keptMs("max=100,TIMEOUT=60")).toBe(60_000);
  expect(keptMs("timeout=soon")).toBeUndefined();
  expect(keptMs("timeout=1234567890123")).toBeUndefined();
});

test("a head of very many lines is read", () => {
  const head = `HTTP/1.1 200 OK${"\r\na:".repeat(60_000)}`;
  expect(parseHead(head)).toMatchObject({ status: 200 });
  expect(parseHead(`${head}\n`)).toBeUndefined();
});

describe("any answers", () => {
  const field = fc.constantFrom(
    "Server: nginx\r\n",
    "Date: x\r\n",
    "X-A:\r\n",
    "Content-Type: text/html\r\n",
    "A: \xe9\r\n",
  );
  const anyAnswer = fc.record({
    body: fc.string({ unit: "grapheme", maxLength: 60 }),
    status: fc.constantFrom(200, 400, 429, 502),
    fields: fc.array(field, { maxLength: 6 }),
    interim: fc.array(fc.constantFrom("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 E\r\nA: b\r\n\r\n"), {
      maxLength: 2,
    }),
    how: fc.constantFrom("fixed", "chunked", "closed"),
    chunks: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 20 }),
    extension: fc.constantFrom("", ";a", ' ; a="b"'),
    trailers: fc.constantFrom("", "A: b\r\n", "A: b\r\nC: d\r\n"),
  });
  type Any = typeof anyAnswer extends fc.Arbitrary<infer T> ? T : never;

  function encode(one: Any): Buffer {
    const body = Buffer.from(one.body);
    const head = `${one.interim.join("")}HTTP/1.1 ${one.status} X\r\n${one.fields.join("")}`;
    if (one.how === "closed") return Buffer.concat([bytesOf(`${head}\r\n`), body]);
    if (one.how === "fixed") return Buffer.concat([bytesOf(`${head}Content-Length: ${body.length}\r\n\r\n`), body]);
    const parts = [bytesOf(`${head}Transfer-Encoding: chunked\r\n\r\n`)];
    let at = 0;
    for (const size of [...one.chunks, body.length]) {
      const chunk = body.subarray(at, at + size);
      at += size;
      if (chunk.length === 0) continue;
      parts.push(bytesOf(`${chunk.length.toString(16)}${one.extension}\r\n`), chunk, bytesOf("\r\n"));
    }
    return Buffer.concat([...parts, bytesOf(`0${one.extension}\r\n${one.trailers}\r\n`)]);
  }

  test("one after the other on a connection, encoded and split in any way, come back as they were sent", () => {
    const cuts = fc.array(fc.nat(), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(fc.tuple(anyAnswer, cuts), { minLength: 1, maxLength: 5 }), (answers) => {
        let parser = new AnswerParser(limits);
        for (const [one, positions] of answers) {
          const bytes = encode(one);
          const places = [0, ...positions.map((at) => at % bytes.length), bytes.length].toSorted((a, b) => a - b);
          const pieces = places.slice(1).map((to, at) => bytes.subarray(places[at], to));
          const closes = one.how === "closed";
          const got = read(
            pieces.filter((piece) => piece.length > 0),
            closes,
            parser,
          );
          const text = one.body.startsWith("\ufeff") ? one.body.slice(1) : one.body;
          expect(got).toEqual({
            progress: "whole",
            status: one.status,
            text: Buffer.from(text).toString(),
            reusable: !closes,
          });
          expect(parser.bytes().equals(Buffer.from(one.body))).toBe(true);
          const reference = referenceAnswer(bytes, closes, limits);
          expect(reference).toMatchObject({ kind: "whole", end: bytes.length, reusable: !closes });
          if (closes) parser = new AnswerParser(limits);
          else parser.reset();
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
