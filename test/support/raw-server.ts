/** Servers that answer byte by byte as a test says, and certificates made for the test. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createPlainServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";

/** PEM. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export interface RawServer {
  readonly port: number;
  /** `http(s)://127.0.0.1:<port>` */
  readonly root: string;
  /** Connections that were made; of TLS the finished ones. */
  connections(): number;
  /** Those that are open. */
  open(): number;
  close(): void;
}

/** `onRequest` gets each whole request of a connection, as latin1, and its number from 1 on over all connections. */
export async function listenRaw(
  onRequest: (socket: Socket, request: string, number: number) => void,
  certificate?: Certificate,
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  let requests = 0;
  const accept = (socket: Socket): void => {
    connections++;
    sockets.add(socket);
    let text = "";
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      text += data.toString("latin1");
      for (let end = requestEnd(text); end > 0; end = requestEnd(text)) {
        const request = text.slice(0, end);
        text = text.slice(end);
        onRequest(socket, request, ++requests);
      }
    });
  };
  const server: Server =
    certificate === undefined ? createPlainServer(accept) : createTlsServer({ ...certificate }, accept);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    root: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    connections: () => connections,
    open: () => sockets.size,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Where the first request of `text` ends; 0 where it is not there yet. */
function requestEnd(text: string): number {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd < 0) return 0;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1] ?? "0";
  const end = headEnd + 4 + Number(length);
  return text.length >= end ? end : 0;
}

/** Signed by itself for `names`, such as `DNS:localhost`; undefined where no `openssl` is installed. */
export function makeCertificate(names: string): Certificate | undefined {
  if (Bun.which("openssl") === null) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "botfleet-certificate-"));
  try {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const subject = ["-subj", "/CN=test", "-addext", `subjectAltName=${names}`];
    const command = ["openssl", "req", "-x509", "-nodes", "-days", "2", ...curve, ...subject];
    const made = Bun.spawnSync([...command, "-keyout", key, "-out", cert], { stderr: "pipe" });
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A whole answer with a length. */
export function answer(text: string, more = "", status = "200 OK"): string {
  return `HTTP/1.1 ${status}\r\n${more}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

/** Waits for something that is about to happen. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}
