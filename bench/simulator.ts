/**
 * What the simulated Bot API costs: sendMessage replies a second over loopback, and CPU of the simulator's process per reply.
 *
 *     bun bench/simulator.ts [--seconds 3] [--json]
 *
 * The simulator runs as a process of its own; this one drives it over raw sockets, so that the client is not what is measured. The promise
 * is at least 20,000 replies/s from one core, that is at most 50 µs of CPU per reply.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";

interface Figures {
  readonly name: string;
  readonly repliesPerSecond: number;
  readonly cpuPerReplyUs: number;
}

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "3" }, json: { type: "boolean", default: false } },
});
const durationMs = Number(values.seconds) * 1_000;
const chats = 1_000;

const simulator = Bun.spawn(
  ["bun", join(import.meta.dir, "../src/simulator/main.ts"), "--any-chat", "--history", "5"],
  {
    stdout: "pipe",
  },
);
const { value: line } = await simulator.stdout.getReader().read();
const { url, port, tokens } = JSON.parse(new TextDecoder().decode(line)) as {
  readonly url: string;
  readonly port: number;
  readonly tokens: readonly string[];
};

const requests = Array.from({ length: chats }, (_, at) => {
  const body = JSON.stringify({ chat_id: at + 1, text: `An answer of usual length, number ${at}` });
  const head = `POST /bot${tokens[0]}/sendMessage HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`;
  return Buffer.from(`${head}Content-Length: ${body.length}\r\nConnection: keep-alive\r\n\r\n${body}`);
});

async function cpuUs(): Promise<number> {
  const figures = (await (await fetch(`${url}/simulator/process`)).json()) as Record<
    "cpuUserUs" | "cpuSystemUs",
    number
  >;
  return figures.cpuUserUs + figures.cpuSystemUs;
}

/** Keeps `depth` requests in flight on each of `sockets` connections for `forMs`; returns the replies. */
async function drive(sockets: number, depth: number, forMs: number): Promise<number> {
  const mark = Buffer.from('{"ok":true');
  let replies = 0;
  let next = 0;
  let open = true;
  const request = (): Buffer => requests[next++ % chats]!;
  const connections = await Promise.all(
    Array.from({ length: sockets }, () =>
      Bun.connect<{ tail: Buffer }>({
        hostname: "127.0.0.1",
        port,
        socket: {
          open(socket) {
            socket.data = { tail: Buffer.alloc(0) };
            socket.write(Buffer.concat(Array.from({ length: depth }, request)));
          },
          data(socket, bytes) {
            const all = Buffer.concat([socket.data.tail, bytes]);
            let came = 0;
            for (let at = all.indexOf(mark); at >= 0; at = all.indexOf(mark, at + mark.length)) came++;
            // A mark may be cut in two by the edge of a packet, never counted twice.
            socket.data.tail = all.subarray(all.length - mark.length + 1);
            replies += came;
            if (open && came > 0)
              socket.write(came === 1 ? request() : Buffer.concat(Array.from({ length: came }, request)));
          },
        },
      }),
    ),
  );
  await Bun.sleep(forMs);
  open = false;
  const counted = replies;
  for (const connection of connections) connection.terminate();
  return counted;
}

async function measure(name: string, sockets: number, depth: number): Promise<Figures> {
  await drive(sockets, depth, 500);
  const cpuBefore = await cpuUs();
  const started = performance.now();
  const replies = await drive(sockets, depth, durationMs);
  const seconds = (performance.now() - started) / 1_000;
  const cpuPerReplyUs = ((await cpuUs()) - cpuBefore) / replies;
  return { name, repliesPerSecond: Math.round(replies / seconds), cpuPerReplyUs: Number(cpuPerReplyUs.toFixed(1)) };
}

const figures = [
  await measure("64 sockets, one call at a time", 64, 1),
  await measure("512 sockets, one call at a time", 512, 1),
  await measure("16 sockets, 16 calls pipelined", 16, 16),
];
simulator.kill();
if (values.json) console.log(JSON.stringify(figures));
else
  for (const { name, ...of } of figures)
    console.log(`${name}: ${of.repliesPerSecond} replies/s, ${of.cpuPerReplyUs} µs CPU per reply`);
