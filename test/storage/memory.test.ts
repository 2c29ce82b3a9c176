import { createMemoryUserStore } from "../../src/storage/memory.ts";
import { userStoreContract } from "../contract/users.ts";

userStoreContract("memory", () => ({ store: createMemoryUserStore(), dispose: () => Promise.resolve() }));
