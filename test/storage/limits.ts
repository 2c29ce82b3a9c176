/** Limits for tests of the SQLite user store: as in production, but a lost store looks for itself soon. */
export const userLimits = {
  checkpointPages: 4_000,
  pageCacheKiB: 4_096,
  probeMs: 20,
  answerMaxMs: 5_000,
  damagedToldMax: 2,
} as const;
