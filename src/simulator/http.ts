/** As much of HTTP/1.1 as Bot API clients need, straight on sockets: Bun.serve can neither destroy a connection nor cut an answer in half. */

export interface HttpRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  /** Names in lower case; `undefined` where absent. */
  header(name: string): string | undefined;
  readonly body: Buffer;
  readonly keepAlive: boolean;
}

/** `more`: the request is not complete yet. A number is the status of an answer with which the connection must be closed. */
export type Parsed = { readonly request: HttpRequest; readonly bytes: number } | "more" | "continue" | number;

const headMaxBytes = 256 * 1024;
const bodyMaxBytes = 64 * 1024 * 1024;

/**
 * Reads one request from the start of `data`. `continue` once where the client waits for `100 Continue` before it sends its body
 * (`continued` says that it was told).
 */
export function parseRequest(data: Buffer, continued: boolean): Parsed {
  const headEnd = data.indexOf("\r\n\r\n");
  if (headEnd < 0) return data.length > headMaxBytes ? 431 : "more";
  const head = data.toString("latin1", 0, headEnd);
  const lineEnd = head.indexOf("\r\n");
  const line = lineEnd < 0 ? head : head.slice(0, lineEnd);
  const methodEnd = line.indexOf(" ");
  const targetEnd = line.lastIndexOf(" ");
  if (methodEnd < 1 || targetEnd <= methodEnd || !line.startsWith("HTTP/1.", targetEnd + 1)) return 400;
  const lower = head.toLowerCase();
  const header = (name: string): string | undefined => headerIn(head, lower, name);
  const start = headEnd + 4;
  const connection = header("connection")?.toLowerCase();
  const keepAlive = line.endsWith("1.0") ? connection === "keep-alive" : connection !== "close";
  const request = { method: line.slice(0, methodEnd), target: line.slice(methodEnd + 1, targetEnd), header, keepAlive };
  const waits = !continued && header("expect")?.toLowerCase() === "100-continue";
  if (header("transfer-encoding")?.toLowerCase().includes("chunked") === true) {
    const chunks = readChunks(data, start);
    if (typeof chunks !== "object") return chunks === "more" && waits ? "continue" : chunks;
    return { request: { ...request, body: chunks.body }, bytes: chunks.end };
  }
  const length = Number(header("content-length") ?? 0);
  if (!Number.isSafeInteger(length) || length < 0) return 400;
  if (length > bodyMaxBytes) return 413;
  const end = start + length;
  if (data.length < end) return waits ? "continue" : "more";
  return { request: { ...request, body: data.subarray(start, end) }, bytes: end };
}

function headerIn(head: string, lower: string, name: string): string | undefined {
  const at = lower.indexOf(`\r\n${name}:`);
  if (at < 0) return undefined;
  const start = at + name.length + 3;
  const end = head.indexOf("\r\n", start);
  return head.slice(start, end < 0 ? undefined : end).trim();
}

function readChunks(data: Buffer, start: number): { readonly body: Buffer; readonly end: number } | "more" | number {
  const parts: Buffer[] = [];
  let at = start;
  let total = 0;
  for (;;) {
    const lineEnd = data.indexOf("\r\n", at);
    if (lineEnd < 0) return "more";
    const size = Number.parseInt(data.toString("latin1", at, lineEnd), 16);
    if (Number.isNaN(size) || size < 0) return 400;
    at = lineEnd + 2;
    total += size;
    if (total > bodyMaxBytes) return 413;
    if (size === 0) {
      // Trailers are rare and end with an empty line as well.
      const end = data.indexOf("\r\n", at) === at ? at + 2 : data.indexOf("\r\n\r\n", at) + 4;
      return end < 4 || data.length < end ? "more" : { body: Buffer.concat(parts), end };
    }
    if (data.length < at + size + 2) return "more";
    parts.push(data.subarray(at, at + size));
    at += size + 2;
  }
}

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  413: "Request Entity Too Large",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  502: "Bad Gateway",
};

/** A whole answer as text. The Content-Length is that of `body` in UTF-8. */
export function formatAnswer(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  keepAlive: boolean,
): string {
  let head = `HTTP/1.1 ${status} ${reasons[status] ?? "Status"}\r\n`;
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
  const connection = keepAlive ? "keep-alive" : "close";
  return `${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: ${connection}\r\n\r\n${body}`;
}
