/** Runs before every test file. */
import { setDefaultTimeout } from "bun:test";

// The longest a test may take unless it says otherwise, ms: a margin for a busy machine, since a test waits for conditions and not for time.
setDefaultTimeout(30_000);
