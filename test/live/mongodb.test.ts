/** The user store on a real server: the promises of every store. */
import { userStoreContract } from "../contract/users.ts";
import { describeLive } from "./live.ts";
import { useMongodb } from "./mongodb-rig.ts";
import { mongodbServer } from "./programs.ts";

describeLive("MongoDB", [mongodbServer], () => {
  const mongodb = useMongodb();

  userStoreContract("MongoDB", async () => {
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
      async damage(id) {
        const users = database.collection<{ readonly _id: number }>("users");
        await users.updateOne({ _id: id }, { $set: { firstName: 7 } });
      },
      ...(fail === undefined ? {} : { fail: () => fail(writes) }),
      dispose: () => store.stop(),
    };
  });
});
