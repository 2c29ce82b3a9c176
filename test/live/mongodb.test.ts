/** The stores of users and sessions on a real server: the promises of every store. */
import { setDefaultTimeout } from "bun:test";
import type { UserId } from "../../src/ids.ts";
import { sessionStoreContract } from "../contract/sessions.ts";
import { userStoreContract } from "../contract/users.ts";
import { describeLive } from "./live.ts";
import { useMongodb } from "./mongodb-rig.ts";
import { mongodbServer } from "./programs.ts";

// The driver waits for a server for seconds.
setDefaultTimeout(60_000);

describeLive("MongoDB", [mongodbServer], () => {
  const mongodb = useMongodb();

  const createHarness = async () => {
    const database = mongodb.database();
    let store = await mongodb.open(database.databaseName);
    const { fail } = mongodb;
    // Killed in the middle by a server that is being stopped.
    const writes = { failCommands: ["insert", "update", "commitTransaction"], errorCode: 11_600 };
    return {
      store,
      async reopen() {
        await store.stop();
        return (store = await mongodb.open(database.databaseName));
      },
      async damage(id: UserId) {
        const users = database.collection<{ readonly _id: number }>("users");
        await users.updateOne({ _id: id }, { $set: { firstName: 7 } });
      },
      async damageSession(key: string) {
        const sessions = database.collection<{ readonly _id: string }>("sessions");
        await sessions.updateOne({ _id: key }, { $set: { past: "[" } });
      },
      ...(fail === undefined ? {} : { fail: () => fail(writes) }),
      dispose: () => store.stop(),
    };
  };
  userStoreContract("MongoDB", createHarness);
  sessionStoreContract("MongoDB", createHarness);
});
