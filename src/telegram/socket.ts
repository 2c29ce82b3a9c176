/** Sockets as the transport needs them, and Bun's as one. */
import type { SocketHandler, TLSOptions } from "bun";

export interface Target {
  /** A name or address; IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
  readonly secure: boolean;
  /** PEM: trusted instead of the usual authorities. */
  readonly ca?: string | undefined;
}

/** An open socket. */
export interface Wire {
  /** How many bytes of `data` (a text as UTF-8) were taken, from its beginning; the rest after `drained`. -1: closed, nothing was taken. */
  write(data: string | Uint8Array): number;
  /** Closes in good order. */
  end(): void;
  /** Closes at once. */
  terminate(): void;
}

/** What happens to a socket. `code` is the system's word for why; `""` in good order, or where there is none. */
export interface WireEvents {
  /** Connected and, where `secure`, the server is the one its certificate names. */
  opened(wire: Wire): void;
  /** Could not be opened. Instead of `opened`; nothing that was written has been sent. */
  refused(code: string): void;
  /** `piece` belongs to the receiver. */
  received(piece: Buffer): void;
  drained(): void;
  /** After `opened`. May come more than once. */
  closed(code: string): void;
}

export type Connect = (target: Target, events: WireEvents) => void;

/**
 * Connects with `Bun.connect`. Certificates are always checked, by chain and by name, whatever `NODE_TLS_REJECT_UNAUTHORIZED` says;
 * `NODE_EXTRA_CA_CERTS` adds authorities. An attempt cannot be called off. Proxies that the environment names are not used.
 */
export const connectWithBun: Connect = (target, events) => void dial(target, events);

/** Never rejects. */
async function dial({ hostname, port, secure, ca }: Target, events: WireEvents): Promise<void> {
  const options = { hostname, port, data: events };
  try {
    if (secure) await Bun.connect({ ...options, tls: tlsOptions(ca), socket: secureHandlers });
    else await Bun.connect({ ...options, socket: plainHandlers });
  } catch (error) {
    events.refused(codeOf(error));
  }
}

function tlsOptions(ca: string | undefined): TLSOptions {
  return ca === undefined ? { rejectUnauthorized: true } : { rejectUnauthorized: true, ca };
}

type Handlers = SocketHandler<WireEvents>;

const shared: Handlers = {
  data: (socket, piece) => socket.data.received(piece),
  drain: (socket) => socket.data.drained(),
  close: (socket, error) => socket.data.closed(codeOf(error)),
  error(socket, error) {
    socket.data.closed(codeOf(error));
    socket.terminate();
  },
  // The promise of `Bun.connect` says it too; without this one it would be reported as unhandled.
  connectError: () => {},
};

const plainHandlers: Handlers = { ...shared, open: (socket) => socket.data.opened(socket) };

const secureHandlers: Handlers = {
  ...shared,
  // Comes before the handshake: the server is still anyone.
  open: () => {},
  handshake(socket, success, error) {
    if (success && error === null && socket.authorized) return socket.data.opened(socket);
    socket.data.refused(codeOf(error) || "ERR_TLS_HANDSHAKE");
    socket.terminate();
  },
};

/** Only a word may go on: messages can carry what must stay secret. */
function codeOf(error: unknown): string {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  return /^[A-Za-z][A-Za-z0-9_]{1,63}$/.test(code) ? code : "";
}
