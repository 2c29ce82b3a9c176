/** The flags of the demo. */
import { parseArgs } from "node:util";
import { usage } from "./demo-words.ts";

export interface Flags {
  /** Commands, separated by semicolons. */
  readonly script: string | undefined;
  readonly dataDir: string | undefined;
  readonly port: number;
}

const usageFault = 64;
const portMax = 65_535;

/** Ends the process with 0 after `--help`, and with 64 where a flag is wrong. */
export function readFlags(args: readonly string[]): Flags {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        script: { type: "string" },
        "data-dir": { type: "string" },
        port: { type: "string", default: "0" },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const port = /^\d+$/.test(values.port) ? Number(values.port) : Number.NaN;
    if (!(port <= portMax)) throw new RangeError(`--port takes a number up to ${portMax}, not ${values.port}`);
    if (values["data-dir"] === "") throw new RangeError("--data-dir takes a folder");
    return { script: values.script, dataDir: values["data-dir"], port };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(usageFault);
  }
}
