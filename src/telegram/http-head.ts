/** The head of an HTTP/1.1 answer: as much of RFC 9112 as decides where the answer ends and whether its connection may be used again. */

/** Where the body ends: after so many bytes, with the last chunk, or when the server closes. */
export type Framing = number | "chunked" | "until_close";

export interface AnswerHead {
  readonly status: number;
  readonly framing: Framing;
  /** False where the server closes, or where the length is said in a way that two readers may understand differently. */
  readonly reusable: boolean;
  /** How long the server keeps the connection open without a request, ms; undefined where it does not say. */
  readonly keptMs: number | undefined;
  /** `Content-Encoding` in lower case; `""` where there is none. */
  readonly encoding: string;
}

/**
 * Reads a head: its lines without the empty one that ends it, as latin1. Undefined where it is none: wrong version, folded lines, bare
 * line ends, spaces before a colon, lengths that contradict each other, codings other than `chunked`. Nothing is guessed.
 */
export function parseHead(head: string): AnswerHead | undefined {
  if (!form.test(head)) return undefined;
  const fields = readFields(head);
  const { length, transfer } = fields;
  const status = Number(head.slice(9, 12));
  const isLater = head.charCodeAt(7) === one;
  let reusable = isLater ? !fields.close : fields.keepAlive && !fields.close;
  let framing: Framing = "until_close";
  if (transfer !== undefined) {
    if (transfer !== "chunked" || !isLater) return undefined;
    framing = "chunked";
    // RFC 9112 6.1: with both, a proxy in between may have split the stream elsewhere.
    if (length !== undefined) reusable = false;
  } else if (length !== undefined) {
    const bytes = readLength(length);
    if (bytes === undefined) return undefined;
    framing = bytes;
    if (length.includes(",")) reusable = false;
  }
  if (isBodiless(status)) framing = 0;
  else if (framing === "until_close") reusable = false;
  return { status, framing, reusable, keptMs: fields.keptMs, encoding: fields.encoding };
}

/** RFC 9110 6.4.1: whatever the head says of a length, no body follows. */
function isBodiless(status: number): boolean {
  return status < 200 || status === 204 || status === 304;
}

interface Fields {
  /** All of them, joined as RFC 9110 5.3 says. */
  length: string | undefined;
  transfer: string | undefined;
  close: boolean;
  keepAlive: boolean;
  keptMs: number | undefined;
  encoding: string;
}

function readFields(head: string): Fields {
  const fields: Fields = {
    length: undefined,
    transfer: undefined,
    close: false,
    keepAlive: false,
    keptMs: undefined,
    encoding: "",
  };
  let lineEnd = head.indexOf("\r\n");
  while (lineEnd >= 0) {
    const start = lineEnd + 2;
    lineEnd = head.indexOf("\r\n", start);
    // Of a usual answer's ten lines three begin with one of these letters: the others are not looked at.
    const first = head.charCodeAt(start) | 0x20;
    if (first !== letterC && first !== letterT && first !== letterK) continue;
    const colon = head.indexOf(":", start);
    if (!nameLengths.has(colon - start)) continue;
    const value = head.slice(colon + 1, lineEnd < 0 ? undefined : lineEnd).trim();
    take(fields, head.slice(start, colon).toLowerCase(), value);
  }
  return fields;
}

function take(fields: Fields, name: string, value: string): void {
  switch (name) {
    case "content-length":
      fields.length = joined(fields.length, value);
      return;
    case "transfer-encoding":
      fields.transfer = joined(fields.transfer, value.toLowerCase());
      return;
    case "content-encoding":
      fields.encoding = joined(fields.encoding || undefined, value.toLowerCase());
      return;
    case "connection":
      readConnection(fields, value);
      return;
    case "keep-alive": {
      const seconds = /\btimeout=(\d{1,9})(?!\d)/i.exec(value)?.[1];
      if (seconds !== undefined) fields.keptMs = Number(seconds) * 1_000;
    }
  }
}

function readConnection(fields: Fields, value: string): void {
  if (value === "keep-alive") {
    fields.keepAlive = true;
    return;
  }
  for (const option of value.toLowerCase().split(",")) {
    const word = option.trim();
    if (word === "close") fields.close = true;
    else if (word === "keep-alive") fields.keepAlive = true;
  }
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

/** The same length may be said more than once; undefined where it is none. */
function readLength(text: string): number | undefined {
  if (digits.test(text)) return Number(text);
  const values = text.split(",").map((value) => value.trim());
  const [first] = values;
  return first !== undefined && digits.test(first) && values.every((value) => value === first)
    ? Number(first)
    : undefined;
}

/** More digits than any length has that could be read. */
const digits = /^\d{1,15}$/;
const form = /^HTTP\/1\.[01] [1-9]\d\d(?: [^\r\n\0]*)?(?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\r\n\0]*)*$/;
const one = 0x31;
/** Of the names that `take` knows. */
const nameLengths = new Set([10, 14, 16, 17]);
const letterC = 0x63;
const letterT = 0x74;
const letterK = 0x6b;
