/** HTTP/1.1 connections on Bun's sockets: one request at a time each, answers in order, and every way in which an answer can fail. */
import type { Socket, TCPSocketListener } from "bun";
import type { HttpRequest } from "./http.ts";
import { formatAnswer, parseRequest } from "./http.ts";
import type { Reply } from "./wire.ts";

/** Answers once, now or later. Returns how to give up when the client has gone. */
export type Handler = (request: HttpRequest, respond: (reply: Reply) => void) => () => void;

export interface ListenOptions {
  readonly hostname: string;
  readonly port: number;
  /** PEM texts. */
  readonly tls?: { readonly key: string; readonly cert: string };
}

export interface HttpListener {
  readonly port: number;
  /** Connections open now. */
  connections(): number;
  /** Stops listening and destroys every connection. Idempotent. */
  stop(): void;
}

interface Connection {
  /** Bytes read and not used up. */
  input: Buffer | undefined;
  /** Bytes that the socket has not taken yet. */
  output: Buffer | undefined;
  /** A request is being answered: the next one waits. */
  busy: boolean;
  /** Nothing more is read; closes when `output` is empty. */
  closing: boolean;
  /** The client was told to send its body. */
  continued: boolean;
  cancel: (() => void) | undefined;
}

type HttpSocket = Socket<Connection>;

export function listenHttp(options: ListenOptions, handle: Handler): HttpListener {
  const open = new Set<HttpSocket>();
  const listener: TCPSocketListener<Connection> = Bun.listen<Connection>({
    hostname: options.hostname,
    port: options.port,
    ...(options.tls === undefined ? {} : { tls: { ...options.tls } }),
    socket: {
      open(socket) {
        open.add(socket);
        socket.data = {
          input: undefined,
          output: undefined,
          busy: false,
          closing: false,
          continued: false,
          cancel: undefined,
        };
      },
      data(socket, bytes) {
        const connection = socket.data;
        connection.input = connection.input === undefined ? bytes : Buffer.concat([connection.input, bytes]);
        if (!connection.busy) serve(socket, handle);
      },
      drain: flush,
      close(socket) {
        open.delete(socket);
        socket.data.closing = true;
        socket.data.cancel?.();
      },
      error(socket) {
        // A connection that failed has nobody to tell.
        socket.terminate();
      },
    },
  });
  return {
    port: listener.port,
    connections: () => open.size,
    stop() {
      listener.stop(true);
      for (const socket of open) socket.terminate();
    },
  };
}

function serve(socket: HttpSocket, handle: Handler): void {
  const connection = socket.data;
  while (!connection.busy && !connection.closing && connection.input !== undefined) {
    const parsed = parseRequest(connection.input, connection.continued);
    if (parsed === "more") return;
    if (parsed === "continue") {
      connection.continued = true;
      write(socket, "HTTP/1.1 100 Continue\r\n\r\n");
      return;
    }
    if (typeof parsed === "number") {
      // As the real server: an empty body, and the connection closes.
      finish(socket, formatAnswer(parsed, {}, "", false));
      return;
    }
    connection.continued = false;
    connection.input = parsed.bytes === connection.input.length ? undefined : connection.input.subarray(parsed.bytes);
    answer(socket, parsed.request, handle);
  }
}

function answer(socket: HttpSocket, request: HttpRequest, handle: Handler): void {
  const connection = socket.data;
  connection.busy = true;
  let atOnce = true;
  const cancel = handle(request, (reply) => {
    connection.cancel = undefined;
    if (connection.closing) return;
    send(socket, reply, request.keepAlive);
    // A hang keeps the connection busy for ever.
    if (reply.kind === "hang") return;
    connection.busy = false;
    if (!atOnce) serve(socket, handle);
  });
  atOnce = false;
  if (connection.busy) connection.cancel = cancel;
}

function send(socket: HttpSocket, reply: Reply, keepAlive: boolean): void {
  switch (reply.kind) {
    case "answer": {
      const text = formatAnswer(reply.status, reply.headers, reply.body, keepAlive);
      if (keepAlive) write(socket, text);
      else finish(socket, text);
      return;
    }
    case "truncated": {
      const whole = Buffer.from(formatAnswer(reply.status, reply.headers, reply.body, true));
      const bodyBytes = Buffer.byteLength(reply.body);
      finish(socket, whole.subarray(0, whole.length - Math.ceil(bodyBytes / 2)));
      return;
    }
    case "hang":
      return;
    case "reset":
    case "refused":
      socket.data.closing = true;
      socket.terminate();
  }
}

/** Writes the last of a connection. */
function finish(socket: HttpSocket, bytes: string | Buffer): void {
  socket.data.closing = true;
  write(socket, bytes);
}

function write(socket: HttpSocket, bytes: string | Buffer): void {
  const connection = socket.data;
  if (connection.output !== undefined) {
    connection.output = Buffer.concat([connection.output, Buffer.from(bytes as string)]);
    return;
  }
  const written = socket.write(bytes);
  const length = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
  if (written < length) connection.output = Buffer.from(bytes as string).subarray(Math.max(0, written));
  else if (connection.closing) socket.end();
}

function flush(socket: HttpSocket): void {
  const connection = socket.data;
  if (connection.output === undefined) return;
  const written = socket.write(connection.output);
  if (written < connection.output.length) {
    connection.output = connection.output.subarray(Math.max(0, written));
    return;
  }
  connection.output = undefined;
  if (connection.closing) socket.end();
}
