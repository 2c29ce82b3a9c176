import { expect, test } from "bun:test";
import { MongoClient } from "mongodb";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own } from "./programs.ts";

describeLive("the MongoDB-compatible server of the tests", [own(mongodbServer)], () => {
  test("has after a kill what it acknowledged, on the same address", async () => {
    await using server = await startMongodbServer();
    const insert = async (_id: number): Promise<number> => {
      const client = new MongoClient(server.url, { serverSelectionTimeoutMS: 5_000 });
      try {
        const numbers = client.db("test").collection<{ readonly _id: number }>("numbers");
        await numbers.insertOne({ _id }, { writeConcern: { w: "majority" } });
        return await numbers.countDocuments();
      } finally {
        await client.close();
      }
    };
    expect(await insert(1)).toBe(1);
    const { url } = server;
    await server.kill();
    await server.restart();
    expect(server.url).toBe(url);
    expect(await insert(2)).toBe(2);
  });
});
