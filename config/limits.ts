/**
 * Every bound in the system, with its unit and its reason. Nothing in botfleet grows past what stands here.
 * Parts take the limits they need as options; only `src/main.ts` reads this file. Longer than other files because all of them
 * belong into one.
 */
export const limits = {
  poller: {
    /** Long-poll timeout sent to Telegram, seconds; the Bot API clamps to 50. */
    pollTimeoutS: 30,
    /** Updates per poll; the Bot API's maximum. */
    pollMaxUpdates: 100,
    /** A poll that has not answered this long after its timeout hangs on a half-open connection and is given up, ms. */
    pollGraceMs: 10_000,
    /** First wait after a failed poll or append, ms: the same offset again within 500 ms makes Telegram answer one update at a time. */
    retryFirstMs: 600,
    /** Longest wait between failed polls, ms: what an operator accepts to wait for after an outage. */
    retryCapMs: 30_000,
    /** Wait after 409 from another poller, ms: Telegram delays a second conflict by 3 s itself. */
    conflictWaitMs: 3_000,
    /** Waits after the token was refused, ms; the last one repeats. */
    disabledWaitsMs: [60_000, 120_000, 300_000, 600_000],
    /** Time between the first calls of two bots, ms: 400 bots within 40 s without a burst of new connections. */
    startIntervalMs: 100,
  },
  inbox: {
    /** Longest time a write waits for others to share its transaction, ms: bounds the latency that grouping adds. */
    groupMaxMs: 2,
    /** Longest time an outcome waits where nothing else is written, ms: a fraction of the 100 ms in which a crash may repeat a reply. */
    settleMaxMs: 25,
    /** Writes in one transaction: bounds how long one commit holds the others up. */
    groupMaxWrites: 2_000,
    /** Ids remembered below the highest of a run: twice what Telegram keeps for a bot. */
    runKeepIds: 200_000,
    /** An id this far above the highest still belongs to the run. */
    runExtendIds: 100_000,
    /** Runs remembered for a bot: restarts of the numbering within `runForgetMs`. */
    runsMaxPerBot: 8,
    /** A run not touched for this long is forgotten, ms: Telegram restarts the numbering after a week without updates. */
    runForgetMs: 72 * 3_600_000,
    /** Disk space kept free so that settling still works when the disk fills up, bytes; below it polling stops. */
    diskReserveBytes: 256 * 1024 * 1024,
    /** How often the free space is looked at, ms. */
    diskCheckMs: 5_000,
    /** Entries handed over in memory before the reader has taken them; beyond it they are read back from disk in order. */
    handoverMaxEntries: 20_000,
    /** JSON text of their bodies, bytes; beyond it entries are handed over without, and the body is fetched when it is due. */
    handoverMaxBytes: 64 * 1024 * 1024,
    /** Entries read back from disk at a time, without bodies: holds the writes of others up for about a millisecond. */
    readMaxEntries: 2_000,
    /** Wait between two tries to write while the store fails, ms. */
    writeRetryMs: 500,
    /** Pages of the write-ahead log after which it is folded into the database, 4 KiB each. */
    checkpointPages: 4_000,
  },
  redisInbox: {
    /** Partitions of a Redis that has no inbox yet: 2, 3, 4, 6, 8 or 12 instances share them evenly. Fixed at the first start. */
    partitions: 24,
    /** Deadline of a call, ms: what fails within it is tried again after `writeRetryMs`, and `/ready` says so after 3 s. */
    callMaxMs: 1_500,
    /** Time for a connection to be made, ms. */
    connectMaxMs: 5_000,
    /** Silence of a connection that owes answers, after which it is opened anew, ms: longer than the event loop is ever held up. */
    hungMaxMs: 5_000,
    /** Longest wait between two tries to connect, ms: a fail-over takes seconds. */
    retryCapMs: 1_000,
    /** Longest wait for the server's disk (WAITAOF), ms: it writes each second, and a busy disk takes another one. Below `hungMaxMs`. */
    diskMaxMs: 3_000,
    /** How often it is looked for entries that nobody told of, ms: how long one waits whose message was lost. Tells an outage too. */
    lookMs: 500,
    /** How long settles are remembered that a restart of Redis could undo, ms: AOF everysec writes within 2 s at worst. */
    rewriteMs: 5_000,
    /** Memory of Redis kept free so that settling still works when it fills up, bytes; below it polling stops. */
    diskReserveBytes: 64 * 1024 * 1024,
    /** Entries read at a time, with their bodies: holds Redis up for about a millisecond. */
    readMaxEntries: 500,
  },
  leases: {
    /** Time between two renewals, ms: three may be lost before the claims lapse. A change that nobody told of is seen with the next one. */
    renewMs: 1_000,
    /** Without a renewal for this long an instance counts as dead, ms: its bots and partitions are taken over about as fast. */
    ttlMs: 5_000,
    /** Without a confirmed renewal for this long nothing is begun, ms: what was begun has a second until somebody else may have the claim. */
    giveUpMs: 4_000,
    /** Least time between two looks that others' changes ask for, ms: a few hundred moves in a row take seconds, not the processor. */
    lookMinMs: 10,
    /** Characters that an instance says of itself to the others with each renewal. */
    infoMaxChars: 1_000,
  },
  sessions: {
    /** Longest time a write waits for others to be written with it, ms. */
    groupMaxMs: 2,
    /** Characters of a session as JSON: with a few values of unsettled updates beside it, it stays below the 16 MB of a document. */
    valueMaxChars: 250_000,
    /** Characters of a module's own key. */
    keyMaxChars: 500,
    /** Updates remembered with a session after which it is asked which of them may still come again. */
    pastCheckAt: 4,
    /** Updates remembered with a session that may come again, each with what was there before it; beyond it further ones wait. */
    pastMax: 16,
    /**
     * Time after which an update of another instance's inbox counts as settled, ms: longer than a bot is moved to another instance for while its own is
     * repaired. Instances that never come back would otherwise fill `pastMax`.
     */
    othersMaxMs: 24 * 3_600_000,
    /** First and longest wait after another write was first, outside of any update, ms. */
    conflictFirstMs: 2,
    conflictCapMs: 200,
    /** How often deleted sessions are looked for, ms, and how many of them in one call. */
    sweepMs: 60_000,
    sweepMaxSessions: 1_000,
    /** Sessions held in memory: 1 KB each with small values. */
    heldMax: 100_000,
    /** What those held take, bytes: with large values fewer are held. Twice as much where their texts are not Latin. */
    heldMaxBytes: 128 * 1024 * 1024,
    /** How long one is held without being written, ms. */
    ttlMs: 600_000,
    /** How long it is held that there is none, ms, and of how many. */
    absentMs: 5_000,
    absentMax: 50_000,
  },
  sqliteUsers: {
    /** Pages of the write-ahead log after which it is folded into the database, 4 KiB each. */
    checkpointPages: 4_000,
    /** Memory for pages of the file, KiB: the upper levels of every index of 10,000,000 users. */
    pageCacheKiB: 64 * 1024,
    /** Wait between two tries to write while the store is lost, ms. */
    probeMs: 500,
    /** A call that is not answered after this means that the disk stands still: `/ready` begins to count, ms. */
    answerMaxMs: 5_000,
    /** Damaged users that are told in the log, each once; of more of them, it is not the single ones that have to be looked at. */
    damagedToldMax: 100,
  },
  mongodbUsers: {
    /** As `users.groupMaxMs`, ms: a command costs as much as ten users in it, whatever the wait. */
    groupMaxMs: 5,
    /** Time to find a server that can serve, ms: what waits for one in an outage goes back to its lane soon. */
    selectMaxMs: 2_000,
    /** Time to open a connection, ms. */
    connectMaxMs: 5_000,
    /** Time in which a transaction is begun again after an error that passes, and its commit is asked for again, ms: below what a handler has. */
    transactionMaxMs: 10_000,
    /**
     * Time in which it is begun again after conflicts, ms. What holds a document for longer was begun by an instance that died: the server ends it
     * after a minute, and the reward is paid by the sweep. Handlers wait for this meanwhile, and after a crash all others for one that runs alone.
     */
    conflictMaxMs: 1_000,
    /** Referees rewarded in one transaction: the more, the more often a change of one of them makes it begin again. */
    transactionMaxUsers: 200,
    /** What one command may hold, bytes: the server takes 16 MiB, and something is left for what stands around it. */
    commandMaxBytes: 12 * 1024 * 1024,
    /** Wait at the start for indexes without which queries are right, and slow, ms: those of a new database are there at once. */
    indexesMaxMs: 5_000,
    /** Age of the histogram of points after which it is counted again, ms. */
    histogramMaxMs: 60_000,
    /** Share of the time that may go into counting: of ten million users it takes some seconds. */
    histogramMaxShare: 0.02,
    /** Longest time for counting, ms: below the socket's time-out; then the old histogram is kept. */
    histogramCountMaxMs: 25_000,
    /** Wait between two tries to reach a majority while the store is lost, ms. */
    probeMs: 500,
    /** From when on an operation is slow, ms: what the scaling guide asks of a query on average. */
    slowMs: 100,
    /** Wait between two lines that say so, ms. */
    slowToldEveryMs: 10_000,
    /** Damaged users that are told, each once; more of them are left out silently. */
    damagedToldMax: 100,
  },
  pipeline: {
    /** Unsettled updates of one bot after which its polling stops: what Telegram itself keeps for a bot. */
    backlogMaxUpdates: 100_000,
    /** Unsettled updates of all bots; beyond it a bot polls only while it holds less than its even share. About 200 B of memory each. */
    backlogTotalMaxUpdates: 1_000_000,
    /** Bodies a lane keeps in memory; further ones are fetched when they are due. */
    laneBodiesMax: 16,
    /** JSON text of all bodies kept in memory, bytes; beyond it bodies are fetched when they are due. */
    bodiesMaxBytes: 64 * 1024 * 1024,
    /** Handlers of one bot at work side by side. */
    slotsPerBot: 500,
    /** Handlers at work side by side in the process. */
    slotsTotal: 4_000,
    /** Handlers of one bot that may work even when `slotsTotal` is used up: bots that hang never stop the others. */
    slotsReservedPerBot: 4,
    /** Handlers that wait in flood control and have given their slot back; each keeps its update in memory. */
    floodWaitingMax: 100_000,
    /** Outcomes not yet durable; beyond it no new handler starts. */
    settlingMax: 10_000,
    /** Time a handler has for one update, ms, without waits in flood control; then its attempt is revoked. */
    handlerMaxMs: 30_000,
    /** Handler faults after which an update is a dead letter. */
    attemptsMax: 5,
    /** Waits of a lane after the first, second, ... handler fault, ms. */
    attemptWaitsMs: [1_000, 4_000, 15_000, 60_000],
    /** First and longest wait of a lane while something outside is unavailable, ms. */
    outageFirstMs: 500,
    outageCapMs: 30_000,
    /**
     * Attempts in a row without a usable answer of Telegram's, other updates of the bot being answered between them, after which an update
     * is a dead letter: about 45 minutes, and by chance at most once in 37,000 while nine calls of ten fail.
     */
    unknownsMax: 100,
    /** Age at which an inline query can no longer be answered, ms (Telegram forgets it). */
    inlineQueryMaxMs: 30_000,
    /** The same for shipping and pre-checkout queries, ms. */
    paymentQueryMaxMs: 150_000,
    /** How often deadlines of handlers are looked at, ms. */
    deadlineCheckMs: 500,
    /** Text of an error kept with a dead letter, characters. */
    errorMaxChars: 2_000,
  },
  client: {
    /** Deadline of a call, ms. */
    callMaxMs: 20_000,
    /** Deadline of a call that uploads a file, ms. */
    uploadMaxMs: 120_000,
    /** Tries of a call whose connection could not be opened, within one attempt. */
    connectTries: 3,
    /** First wait between them, ms. */
    connectRetryFirstMs: 100,
    /** Longest `retry_after` that a call waits out itself, ms; a longer one sends the update back to its lane. */
    floodWaitMaxMs: 60_000,
    /** Size of an answer that is still read, bytes: a batch of updates is capped at about 4 MiB. */
    answerMaxBytes: 64 * 1024 * 1024,
  },
  transport: {
    /** Calls to one host on their way at a time: as many as there are slots. */
    callsMaxPerHost: 4_096,
    /** Waiting polls to one host, counted apart so that they never take a connection from a call: as many as bots in one process. */
    pollsMaxPerHost: 4_096,
    /** Requests to one host that wait to be sent; the next one counts as not sent. */
    waitingMaxPerHost: 10_000,
    /** Connections to one host being opened at a time: a burst must not look like an attack. */
    dialsMaxPerHost: 128,
    /** Wait for a connection, ms; then the request counts as not sent. */
    connectMaxMs: 5_000,
    /** An idle connection is closed after this, ms: before servers and their proxies close it (75 s is common). */
    idleMaxMs: 60_000,
    /** Head of an answer, bytes. */
    answerHeadMaxBytes: 65_536,
  },
  flood: {
    /** Chats of a bot whose sending limits are kept in mind, as many as write within a minute; about 60 B of memory each. */
    chatsMax: 1_000_000,
    /** Calls that wait in flood control, of all bots, broadcasts up to half of them; beyond it the update goes back to its lane. */
    waitingMax: 100_000,
    /** Calls of one bot that may wait even when `waitingMax` is used up: bots that flood never stop the others. */
    waitingReservedPerBot: 100,
    /** Longest wait of a whole bot that another instance may tell of, ms: Telegram has asked for some hours, and a damaged message must not ask for more. */
    toldMaxMs: 24 * 3_600_000,
  },
  users: {
    /** Longest time a change of a user, or a reward, waits for others to be written with it, ms. */
    groupMaxMs: 2,
    /** Users in one write; `BATCH_SIZE` wins. */
    groupMaxUsers: 1_000,
    /** Writes on their way at a time: while one waits for the disk the next ones gather. */
    writesMax: 2,
    /** Changes that wait or are being written; beyond it the update goes back to its lane. About 500 B of memory each. */
    pendingMax: 100_000,
    /**
     * Operations remembered with a user after which it is asked which of them may still come again. Low, because one update that is not settled for
     * long (of a bot that is not configured any more, say) makes all users keep so many: about 130 B each, in memory as well.
     */
    appliedCheckAt: 8,
    /** Operations remembered with a user that may come again; about 170 B each in the document. */
    appliedMax: 256,
    /**
     * Time after which an operation of another inbox's update counts as settled, ms, as that of a session does. Inboxes that never come back (a folder
     * that was given up, a Redis that was emptied) would otherwise fill `appliedMax`.
     */
    othersMaxMs: 24 * 3_600_000,
    /** First and longest wait after another instance stored the user meanwhile, ms. */
    conflictFirstMs: 2,
    conflictCapMs: 200,
    /** How often rewards are looked for that are owed and were not paid at once, ms. */
    sweepMs: 30_000,
    /** What is owed for longer is not under way any more, ms. */
    owedMaxMs: 60_000,
    /** Users whose place on the leaderboard is exact; the others' is estimated. */
    exactMax: 1_000,
    /** Age at which the leaderboard is read again, ms. */
    refreshMs: 30_000,
    /** Users asked for in one read. */
    readMaxUsers: 1_000,
    /** How long it is remembered that a user or a code does not exist, ms: instances do not tell each other of new ones. */
    absentMs: 5_000,
    /** Users, and codes, that do not exist and are remembered as such. */
    absentMax: 50_000,
    /** Referral codes whose users are remembered. */
    codesMax: 100_000,
  },
  modules: {
    /** Users whose rate a bot remembers, an even number, about 200 B each: as many as write to one bot within a window. */
    limitedUsersMax: 10_000,
    /** Time in which a bot gives one user one hint, ms: who chats with it is not told again and again. */
    hintEveryMs: 300_000,
    /** Users of whom a bot remembers that they were given a hint, an even number, about 200 B each: forgetting one costs a hint. */
    hintedUsersMax: 2_000,
  },
  cache: {
    /** Deadline of a call to Redis, ms: far above what it takes, and nothing beside what a lane waits for a storage that is down. */
    callMaxMs: 100,
    /** Time to connect to Redis, ms. */
    connectMaxMs: 2_000,
    /** Silence of a connection that owes answers, after which it is opened anew, ms. */
    hungMaxMs: 3_000,
    /** Longest wait between two tries to connect, ms. */
    retryCapMs: 2_000,
    /** Wait for the first answer of Redis at the start, ms; then the start goes on without. */
    firstAnswerMaxMs: 2_000,
    /** Calls in flight on every connection before one more is opened. */
    callsMaxPerConnection: 1_000,
    /** Between two connections opened in the background, ms: a fleet that starts must not look like an attack. */
    openEveryMs: 50,
    /** Documents in one call: half a millisecond of Redis when they are written, for which everybody else waits. */
    groupMax: 64,
    /** Time that a reader has to put into Redis what it was let to read, ms: longer than any read of the storage that ends well. */
    leaseMs: 10_000,
    /** Time between two heartbeats, ms. */
    beatMs: 1_000,
    /** Silence of an instance, or of Redis, after which users in memory are checked, ms: three heartbeats. */
    silentMs: 3_000,
    /** Silence after which an instance counts as dead, ms, and nothing that stood in Redis is believed unchecked: longer than a pause. */
    lostMs: 10_000,
    /** Failures in a row after which Redis is not asked any more. */
    failuresMax: 3,
    /** Documents whose change Redis could not be told; beyond it nothing that stands there is believed unchecked. About 60 B each. */
    debtsMax: 100_000,
    /** Instances whose heartbeats are counted. */
    sendersMax: 1_000,
  },
  process: {
    /** Time for handlers in work to end after SIGTERM, ms; then their calls are aborted and their updates stay. */
    drainMaxMs: 15_000,
    /** A stop that has not ended by itself after this is ended with exit 1, ms: below the 20 s that orchestrators are told. */
    stopMaxMs: 19_000,
    /** The event loop may stand still this long before the watchdog ends the process with exit 1, ms. */
    watchdogMaxMs: 15_000,
    /** `/health` answers 503 after the event loop stood still this long, ms. */
    stallMaxMs: 10_000,
    /** `/ready` answers 503 after the inbox could not be written for this long, ms. */
    inboxLostMaxMs: 3_000,
    /** `/ready` answers 503 after the users' storage could not be reached for this long, ms. */
    storageLostMaxMs: 5_000,
    /** Connections kept aside for the sidecar, databases and files when the open-file limit is checked. */
    filesReserved: 256,
  },
} as const;

export type Limits = typeof limits;
