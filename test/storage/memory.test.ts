import { createMemoryUserStore } from "../../src/storage/memory.ts";
import { MemorySessionStore } from "../../src/storage/memory-sessions.ts";
import { sessionStoreContract } from "../contract/sessions.ts";
import { userStoreContract } from "../contract/users.ts";

userStoreContract("memory", () => ({ store: createMemoryUserStore(), dispose: () => Promise.resolve() }));
sessionStoreContract("memory", () => ({ store: new MemorySessionStore(), dispose: () => Promise.resolve() }));
