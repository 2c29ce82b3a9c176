/** Limits for tests of the inbox: as in production, but small where a test has to reach them. */
export const inboxLimits = {
  groupMaxMs: 2,
  settleMaxMs: 2,
  groupMaxWrites: 2_000,
  runKeepIds: 200_000,
  runExtendIds: 100_000,
  runsMaxPerBot: 8,
  runForgetMs: 72 * 3_600_000,
  diskReserveBytes: 1_000,
  diskCheckMs: 5_000,
  handoverMaxEntries: 1_000,
  handoverMaxBytes: 1_000_000,
  readMaxEntries: 7,
  writeRetryMs: 500,
  checkpointPages: 4_000,
} as const;
