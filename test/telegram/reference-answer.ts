/** A second reader of HTTP/1.1 answers, written to be plainly right and not fast: whole bytes at once, no states. */

export interface ReferenceLimits {
  readonly headMaxBytes: number;
  readonly bodyMaxBytes: number;
}

export type ReferenceAnswer =
  | { readonly kind: "more" | "malformed" | "too_large" }
  | {
      readonly kind: "whole";
      readonly status: number;
      readonly body: Buffer;
      /** Where it ends in the bytes given. */
      readonly end: number;
      readonly reusable: boolean;
    };

const more = { kind: "more" } as const;
const malformed = { kind: "malformed" } as const;
const tooLarge = { kind: "too_large" } as const;

/** `closed`: nothing follows `bytes`. */
export function referenceAnswer(bytes: Buffer, closed: boolean, limits: ReferenceLimits): ReferenceAnswer {
  const text = bytes.toString("latin1");
  let at = 0;
  for (;;) {
    const headEnd = text.indexOf("\r\n\r\n", at);
    if (headEnd < 0) return text.length - at > limits.headMaxBytes + 3 ? tooLarge : more;
    if (headEnd - at > limits.headMaxBytes) return tooLarge;
    const [first = "", ...lines] = text.slice(at, headEnd).split("\r\n");
    const start = headEnd + 4;
    const status = statusOf(first);
    const fields = fieldsOf(lines);
    if (status === undefined || fields === undefined) return malformed;
    const length = fields.all("content-length");
    const transfer = fields.all("transfer-encoding").map((value) => value.toLowerCase());
    const isLater = first.startsWith("HTTP/1.1");
    if (transfer.length > 0 && (transfer.join(",") !== "chunked" || !isLater)) return malformed;
    const isLength = (value: string): boolean => /^[0-9]{1,15}$/.test(value);
    if (transfer.length === 0 && !length.every((value) => isLength(value) && value === length[0])) return malformed;
    if (status === 101) return malformed;
    if (status < 200) {
      at = start;
      continue;
    }
    const options = new Set(fields.all("connection").map((value) => value.toLowerCase()));
    const keeps = !options.has("close") && (isLater || options.has("keep-alive"));
    const clear = transfer.length > 0 ? length.length === 0 : length.length === 1;
    const whole = (body: Buffer, end: number, reusable: boolean): ReferenceAnswer => ({
      kind: "whole",
      status,
      body,
      end,
      reusable: reusable && keeps,
    });
    if (status === 204 || status === 304) {
      return whole(Buffer.alloc(0), start, transfer.length + length.length < 2 || clear);
    }
    if (transfer.length > 0) {
      const read = readChunks(text, start, limits);
      return read.kind === "whole" ? whole(Buffer.from(read.body, "latin1"), read.end, clear) : read;
    }
    if (length.length > 0) {
      const size = Number(length[0]);
      if (size > limits.bodyMaxBytes) return tooLarge;
      const end = start + size;
      return bytes.length < end ? more : whole(bytes.subarray(start, end), end, clear);
    }
    if (bytes.length - start > limits.bodyMaxBytes) return tooLarge;
    return closed ? whole(bytes.subarray(start), bytes.length, false) : more;
  }
}

function statusOf(line: string): number | undefined {
  const found = /^HTTP\/1\.[01] ([1-9][0-9]{2})($| )/.exec(line);
  return found === null || /[\r\n\0]/.test(line) ? undefined : Number(found[1]);
}

/** `all`: every value of a list that may be spread over several lines. */
function fieldsOf(lines: readonly string[]): { all(name: string): string[] } | undefined {
  const fields: [string, string][] = [];
  for (const line of lines) {
    const found = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):/.exec(line);
    if (found?.[1] === undefined || /[\r\n\0]/.test(line)) return undefined;
    fields.push([found[1].toLowerCase(), line.slice(found[0].length)]);
  }
  return {
    all: (name) =>
      fields
        .filter(([other]) => other === name)
        .flatMap(([, value]) => value.split(","))
        .map((value) => value.trim()),
  };
}

type Chunks = { kind: "more" | "malformed" | "too_large" } | { kind: "whole"; body: string; end: number };

function readChunks(text: string, start: number, limits: ReferenceLimits): Chunks {
  let at = start;
  let body = "";
  /** Lines since the last data. */
  let lines = 0;
  const nextLine = (): string | Chunks => {
    const end = text.indexOf("\n", at);
    const line = text.slice(at, end < 0 ? undefined : end + 1);
    lines += line.length;
    at += line.length;
    if (lines > limits.headMaxBytes) return tooLarge;
    if (end < 0) return more;
    return /^[^\r\n\0]*\r\n$/.test(line) ? line : malformed;
  };
  for (;;) {
    const line = nextLine();
    if (typeof line !== "string") return line;
    const size = /^([0-9a-fA-F]{1,16})[ \t]*(;.*)?\r\n$/s.exec(line)?.[1];
    if (size === undefined) return malformed;
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) break;
    if (body.length + bytes > limits.bodyMaxBytes) return tooLarge;
    body += text.slice(at, at + bytes);
    if (text.length < at + bytes) return more;
    at += bytes;
    lines = 0;
    const end = nextLine();
    if (typeof end !== "string") return end;
    if (end !== "\r\n") return malformed;
  }
  for (;;) {
    const line = nextLine();
    if (typeof line !== "string") return line;
    if (line === "\r\n") return { kind: "whole", body, end: at };
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/.test(line)) return malformed;
  }
}
