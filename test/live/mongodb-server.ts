/** Servers of a test file's own, ended with it. */
import { afterAll } from "bun:test";
import { type MongodbServer, type MongodbServerOptions, spawnMongodbServer } from "./mongodb-process.ts";

const running = new Set<MongodbServer>();

// A test that times out never comes to its own end.
afterAll(async () => {
  await Promise.all([...running].map((server) => server[Symbol.asyncDispose]()));
});

/** See `spawnMongodbServer`. */
export async function startMongodbServer(options?: MongodbServerOptions): Promise<MongodbServer> {
  const server = await spawnMongodbServer(options);
  running.add(server);
  return server;
}
