/** What the connection does with a server that takes its time, played by a few lines of one. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/clock.ts";
import { IoredisServer } from "../../src/redis/ioredis.ts";
import { readAddress } from "../../src/redis/address.ts";

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

/** Answers each command in its order, WAITAOF after `diskMs` and whatever is sent behind it after that, as Redis does. */
async function startServer(diskMs: number): Promise<number> {
  const answer = async (socket: Socket, before: Promise<void>, name: string): Promise<void> => {
    await before;
    if (name === "WAITAOF") await Bun.sleep(diskMs);
    socket.write(answerTo(name));
  };
  const serve = (socket: Socket): void => {
    let turn = Promise.resolve();
    socket.on("error", () => {});
    socket.on("data", (data) => {
      for (const [, name = ""] of data.toString().matchAll(/\*\d+\r\n\$\d+\r\n(\w+)\r\n/g)) {
        turn = answer(socket, turn, name.toUpperCase());
      }
    });
    opened.push(() => socket.destroy());
  };
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

function answerTo(name: string): string {
  if (name === "WAITAOF") return "*2\r\n:1\r\n:0\r\n";
  if (name === "INFO") return "$21\r\nredis_version:7.2.0\r\n\r\n";
  return "+OK\r\n";
}

async function connected(port: number, diskMaxMs: number): Promise<IoredisServer> {
  const usable = Promise.withResolvers<void>();
  const server = new IoredisServer({
    name: "test",
    address: readAddress(`redis://127.0.0.1:${port}`),
    limits: { callMaxMs: 100, connectMaxMs: 5_000, hungMaxMs: 60_000, retryCapMs: 100, diskMaxMs },
    clock: systemClock,
    onFailed: usable.reject,
    onUsable: usable.resolve,
  });
  opened.push(() => server.stop());
  server.start({ prepare: async () => {}, channel: "c", onMessage: () => {}, onListening: () => {} });
  await usable.promise;
  return server;
}

test("the wait for the server's disk may take its own time, and what is sent behind it as well", async () => {
  const server = await connected(await startServer(400), 30_000);
  const synced = server.waitForDisk();
  expect(await server.send([["PING"]])).toEqual(["OK"]);
  await synced;
});

test("without such a wait a call has its short deadline", async () => {
  const server = await connected(await startServer(400), 30_000);
  await server.waitForDisk();
  const late = server.send([["WAITAOF", 1, 0, 0]]).catch((error: unknown) => String(error));
  expect(await late).toContain("timed out");
});
