import { transportContract } from "../contract/transport.ts";
import { createOwnTransport } from "../../src/telegram/transport.ts";
import type { PoolLimits } from "../../src/telegram/pool.ts";

const limits: PoolLimits = {
  callsMaxPerHost: 1_000,
  pollsMaxPerHost: 1_000,
  waitingMaxPerHost: 1_000,
  dialsMaxPerHost: 100,
  connectMaxMs: 5_000,
  idleMaxMs: 15_000,
  answerHeadMaxBytes: 16_384,
  answerMaxBytes: 1_000,
};

transportContract("sockets of its own", {
  create: ({ answerMaxBytes, ...parts }) => createOwnTransport({ ...parts, limits: { ...limits, answerMaxBytes } }),
});
