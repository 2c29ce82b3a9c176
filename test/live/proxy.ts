/** A way to a server on which answers get lost: what was asked is done, and nobody is told. */
import { connect, createServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** Lost so far. */
  readonly lost: number;
  /**
   * The connection ends in place of the answer to the next `times` requests that hold `bytes`. The server has done by then what it was asked.
   */
  loseAnswers(bytes: string, times: number): void;
  /** Ends every connection. */
  cut(): void;
}

export async function startProxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let wanted: { readonly bytes: Buffer; times: number } | undefined;
  let lost = 0;
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    let isLosing = false;
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", end);
      socket.on("close", () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on("data", (data: Buffer) => {
      if (wanted !== undefined && wanted.times > 0 && data.includes(wanted.bytes)) {
        wanted.times--;
        isLosing = true;
      }
      upstream.write(data);
    });
    upstream.on("data", (data: Buffer) => {
      if (!isLosing) return void client.write(data);
      lost++;
      end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get lost() {
      return lost;
    },
    loseAnswers: (bytes, times) => (wanted = { bytes: Buffer.from(bytes, "latin1"), times }),
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
