import { afterEach, expect, test } from "bun:test";
import { Api, GrammyError, HttpError, InputFile } from "grammy";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createFetchTransport } from "../../src/telegram/fetch-transport.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import { FakeClock, settled } from "../support/fake-clock.ts";
import { NotingAttempt, scripted, token } from "./scripted.ts";
import type { Scripted } from "./scripted.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** grammY's Api over a client whose server answers with `respond`. */
function api(respond: (request: Request) => Response | Promise<Response>): Scripted & { api: Api } {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: respond });
  stops.push(() => server.stop(true));
  const clock = new FakeClock();
  const deadlines = createDeadlines({ clock, tickMs: 100 });
  const listeners = createAbortListeners();
  const made = scripted([], {
    apiRoot: `http://127.0.0.1:${server.port}`,
    clock,
    deadlines,
    listeners,
    fetch,
    transport: createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000_000 }),
  });
  const grammy = new Api(token, made.client.apiOptions);
  grammy.config.use(made.client.transformer);
  return { ...made, clock, api: grammy };
}

const ok = (): Response => Response.json({ ok: true, result: { message_id: 9 } });
const file = (): InputFile => new InputFile(new Uint8Array([1, 2, 3]), "three.bin");

function ending(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "resolved",
    (error: unknown) => error,
  );
}

test("a file goes as multipart, everything else as JSON, both through grammY's Api", async () => {
  const types: (string | null)[] = [];
  let form: FormData | undefined;
  const { api: telegram, told } = api(async (request) => {
    types.push(request.headers.get("content-type"));
    if (request.url.endsWith("sendDocument")) form = (await request.formData()) as unknown as FormData;
    return ok();
  });
  expect(await telegram.sendDocument(7, file(), { caption: "c" })).toMatchObject({ message_id: 9 });
  expect(await telegram.sendMessage(7, "hi")).toMatchObject({ message_id: 9 });
  expect(types[0]).toStartWith("multipart/form-data; boundary=");
  expect(types[1]).toBe("application/json");
  expect(form?.get("chat_id")).toBe("7");
  expect(form?.get("caption")).toBe("c");
  const attached = form?.get((form.get("document") as string).replace("attach://", ""));
  expect(attached).toBeInstanceOf(Blob);
  expect(new Uint8Array(await (attached as unknown as Blob).arrayBuffer())).toEqual(new Uint8Array([1, 2, 3]));
  expect(told.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual(["sendDocument ok", "sendMessage ok"]);
});

test("a file deep inside a payload is found", async () => {
  let type: string | null = null;
  const { api: telegram } = api((request) => {
    type = request.headers.get("content-type");
    return Response.json({ ok: true, result: [] });
  });
  await telegram.sendMediaGroup(7, [{ type: "photo", media: file() }]);
  expect(type).toStartWith("multipart/form-data");
});

test("what a proxy finds too large is the handler's refusal, not an outage", async () => {
  const { api: telegram } = api(() => new Response("<html>413</html>", { status: 413 }));
  const error = await ending(telegram.sendDocument(7, file()));
  expect(error).toBeInstanceOf(GrammyError);
  expect(error).toMatchObject({ error_code: 413 });
});

test("an upload is sent once: a server error, HTML and a flood go back to the lane", async () => {
  for (const [response, fault] of [
    [() => Response.json({ ok: false, error_code: 500, description: "x" }, { status: 500 }), { code: "unavailable" }],
    [() => new Response("<html>", { status: 502 }), { code: "unavailable" }],
    [
      () =>
        Response.json({ ok: false, error_code: 429, description: "", parameters: { retry_after: 2 } }, { status: 429 }),
      { code: "unavailable", retryAfterMs: 2_000 },
    ],
  ] as const) {
    let requests = 0;
    const { api: telegram } = api(() => {
      requests++;
      return response();
    });
    expect(await ending(telegram.sendDocument(7, file()))).toMatchObject(fault);
    expect(requests).toBe(1);
  }
});

test("an upload that hangs ends at its own deadline", async () => {
  let reached = (): void => {};
  const asked = new Promise<void>((resolve) => (reached = resolve));
  const {
    api: telegram,
    clock,
    told,
  } = api(() => {
    reached();
    return new Promise<Response>(() => {});
  });
  const end = ending(telegram.sendDocument(7, file()));
  await asked;
  await clock.advance(119_000);
  expect(clock.pending()).toBe(1);
  await clock.advance(1_200);
  expect(await end).toMatchObject({ code: "unavailable", message: expect.stringContaining("deadline") as string });
  expect(told[0]).toStartWith("sendDocument unknown");
});

test("a shutdown aborts an upload as given up", async () => {
  let reached = (): void => {};
  const asked = new Promise<void>((resolve) => (reached = resolve));
  const { api: telegram, scope } = api(() => {
    reached();
    return new Promise<Response>(() => {});
  });
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => telegram.sendDocument(7, file())));
  await asked;
  attempt.stopping.abort();
  expect(await end).toMatchObject({ code: "attempt_revoked" });
});

test("a file that cannot be read is the handler's fault", async () => {
  const { api: telegram, told } = api(async (request) => {
    await request.arrayBuffer();
    return ok();
  });
  const error = await ending(telegram.sendDocument(7, new InputFile("/nowhere/at/all.bin")));
  expect(error).toBeInstanceOf(HttpError);
  expect(String((error as Error).message)).toContain("ENOENT");
  expect(told[0]).toStartWith("sendDocument file_broken");
});

test("the same upload of a later attempt has the same identity", async () => {
  const { api: telegram, scope } = api(ok);
  const attempt = new NotingAttempt();
  const upload = (): Promise<unknown> => telegram.sendDocument(7, file(), { caption: "c" });
  await scope.run(attempt, upload);
  await scope.run(attempt, upload);
  const [one, two] = attempt.asked;
  expect(one).toBe('send sendDocument {"chat_id":7,"document":{"file":"three.bin"},"caption":"c"}');
  expect(two).toBe(one as string);
  await settled();
});

test("an upload waits in flood control like any call, and a 429 of it holds back the next one to its chat", async () => {
  let calls = 0;
  const { api: telegram, clock } = api(() => {
    calls++;
    return calls > 1
      ? ok()
      : Response.json({ ok: false, error_code: 429, description: "", parameters: { retry_after: 5 } }, { status: 429 });
  });
  expect(await ending(telegram.sendDocument(7, file()))).toMatchObject({ code: "unavailable", retryAfterMs: 5_000 });
  const next = telegram.sendDocument(7, file());
  expect(await telegram.sendDocument(8, file())).toMatchObject({ message_id: 9 });
  await clock.advance(4_999);
  expect(calls).toBe(2);
  await clock.advance(1);
  expect(await next).toMatchObject({ message_id: 9 });
});

test("an upload that was made before without an answer, and is refused as no change, is a success", async () => {
  const description = "Bad Request: message is not modified: specified new message content is the same";
  const { api: telegram, scope } = api(() => Response.json({ ok: false, error_code: 400, description }));
  const attempt = new NotingAttempt();
  const edit = (): Promise<unknown> => telegram.editMessageMedia(7, 5, { type: "photo", media: file() });
  expect(await ending(scope.run(attempt, edit))).toBeInstanceOf(GrammyError);
  attempt.mayRepeat = true;
  expect(await ending(scope.run(attempt, edit))).toBe("resolved");
});
