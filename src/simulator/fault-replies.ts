/** The wire form of planned faults. */
import type { FaultSpec } from "./faults.ts";
import type { Answer, Reply } from "./wire.ts";
import { badGateway, ok, refusal, tooManyRequests, words } from "./wire.ts";

/** True where the call must not take effect. */
export function preventsEffect(spec: FaultSpec): boolean {
  return spec.when !== "after" || spec.kind === "refused";
}

/** The wire form of a fault. `truth` is the answer it replaces: the one that is cut in half, or undefined where the call took no effect. */
export function faultReply(spec: FaultSpec, truth: Reply | undefined): Reply {
  switch (spec.kind) {
    case "429":
      return tooManyRequests(spec.retryAfter ?? 1, spec.words);
    case "500":
      return refusal(500, spec.words ?? words.restart);
    case "502-html":
      return spec.words === undefined ? badGateway : { ...badGateway, body: `<html>${spec.words}</html>` };
    case "401":
      return refusal(401, spec.words ?? words.unauthorized);
    case "403":
      return refusal(403, spec.words ?? words.blocked);
    case "404":
      return refusal(404, spec.words ?? words.notFound);
    case "409":
      return refusal(409, spec.words ?? words.otherPoll);
    case "hang":
    case "reset":
    case "refused":
      return { kind: spec.kind };
    case "truncated": {
      const whole: Answer =
        truth?.kind === "answer" && spec.words === undefined ? truth : ok(JSON.stringify(spec.words ?? true));
      return { ...whole, kind: "truncated" };
    }
    case "delay":
      return truth ?? refusal(500, words.restart);
    case "empty":
      return { kind: "answer", status: 200, headers: {}, body: "" };
    case "not-json":
      return {
        kind: "answer",
        status: 200,
        headers: { "Content-Type": "text/html" },
        body: `<html>${spec.words ?? "Welcome"}</html>`,
      };
  }
}
