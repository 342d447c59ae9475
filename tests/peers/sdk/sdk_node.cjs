// The vendors' own JavaScript clients against the simulated providers: what they make of the
// answers is what the script says, and what went wrong is the error they document.
// Argument: HOST:PORT. CommonJS, since one of the clients finds its WebSocket only so.
"use strict";
const assert = require("node:assert/strict");
const net = require("node:net");
// Node 18 has these, but not as globals, which some clients count on.
globalThis.File ??= require("node:buffer").File;
globalThis.crypto ??= require("node:crypto").webcrypto;
const Anthropic = require("@anthropic-ai/sdk");
const Cartesia = require("@cartesia/cartesia-js");
const { DeepgramClient, DeepgramError } = require("@deepgram/sdk");
const { StreamingTranscriber } = require("assemblyai");
const { ElevenLabsClient, ElevenLabsError } = require("@elevenlabs/elevenlabs-js");
const OpenAI = require("openai");

const address = process.argv[2];
const http = `http://${address}`, ws = `ws://${address}`;
const KEY = "key-of-the-tests";
const MS_PER_CHARACTER = 50;
const HOURS = "We are open from eight to six. Sunday is a day of rest: déjà vu!";
const HEARD = ["what are your opening hours on saturday", "book a table for tuesday please"];
const timeout = 60000;

const audioBytes = (text, rate, bytes) => [...text].length * MS_PER_CHARACTER * rate / 1000 * bytes;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const user = (content) => [{ role: "user", content }];

async function collect(stream) {
  const all = [];
  for await (const item of stream) all.push(item);
  return all;
}

async function raises(kind, call, status) {
  try {
    await call();
  } catch (e) {
    assert.ok(e instanceof kind, `${e.constructor.name} instead of ${kind.name}: ${e.message}`);
    if (status) assert.equal(e.status ?? e.statusCode, status);
    return e;
  }
  throw new Error(`no ${kind.name}`);
}

async function until(fits, what) {
  for (const end = Date.now() + timeout; !fits(); await sleep(10))
    assert.ok(Date.now() < end, `in vain: ${what}`);
}

async function bytesOf(stream) {
  let n = 0;
  for await (const piece of stream) n += piece.length;
  return n;
}

// ---- OpenAI ----

const openai = (more = {}) =>
  new OpenAI({ apiKey: KEY, baseURL: http + "/v1", maxRetries: 0, timeout, ...more });
const ask = (client, text, more = {}, options = {}) =>
  client.chat.completions.create({ model: "gpt-4o-mini", messages: user(text), ...more }, options);
const WEATHER = [{ type: "function", function: { name: "get_weather", parameters: {} } }];

async function openaiRetries() {
  const reply = await ask(openai({ maxRetries: 2 }), "opening hours");
  assert.equal(reply.choices[0].message.content, HOURS);
}

async function openaiStreamed() {
  const chunks = await collect(await ask(openai(), "opening hours",
    { stream: true, stream_options: { include_usage: true } }));
  const texts = chunks.map((c) => c.choices[0]?.delta.content ?? "");
  assert.equal(texts.join(""), HOURS);
  assert.ok(texts.filter(Boolean).length > 10);
  assert.equal(chunks.at(-1).usage.completion_tokens, 15);
}

async function openaiTools() {
  const stream = openai().chat.completions.stream(
    { model: "m", messages: user("weather"), tools: WEATHER });
  const message = await stream.finalMessage();
  assert.equal(message.content, "Let me look.");
  assert.equal(message.tool_calls[0].function.name, "get_weather");
  assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments),
    { place: "Paris", asked: "weather" });
  const both = (await ask(openai(), "both")).choices[0];
  assert.equal(both.finish_reason, "tool_calls");
  assert.deepEqual(both.message.tool_calls.map((c) => [c.function.name, c.function.arguments]),
    [["first", '{"n":1}'], ["second", '{"n":2}']]);
}

async function openaiErrors() {
  await raises(OpenAI.AuthenticationError, () => ask(openai({ apiKey: "wrong" }), "x"), 401);
  const limited = await raises(OpenAI.RateLimitError, () => ask(openai(), "fault-429"), 429);
  assert.equal(limited.headers.get("retry-after"), "7");
  assert.equal(limited.code, "rate_limit_exceeded");
  await raises(OpenAI.InternalServerError, () => ask(openai(), "fault-500"), 500);
  await raises(OpenAI.BadRequestError,
    () => openai().chat.completions.create({ model: "m", messages: [] }), 400);
  const streamed = async (text) => collect(await ask(openai(), text, { stream: true }));
  await raises(OpenAI.APIError, () => streamed("wait for it, fault-error"));
  await raises(Error, () => streamed("wait for it, fault-reset"));
  await raises(Error, () => streamed("wait for it, fault-close"));
  await raises(OpenAI.APIConnectionTimeoutError,
    () => ask(openai({ timeout: 500 }), "fault-silence"));
}

async function openaiCancels() {
  const stream = await ask(openai(), "wait for it", { stream: true });
  for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
}

async function openaiSpeech() {
  const text = "Good morning, this is a test.";
  const reply = await openai().audio.speech.create(
    { model: "gpt-4o-mini-tts", voice: "alloy", input: text, response_format: "pcm" });
  assert.equal((await reply.arrayBuffer()).byteLength, audioBytes(text, 24000, 2));
}

async function openaiTranscription() {
  const file = await OpenAI.toFile(Buffer.alloc(8000, 1), "said.wav");
  const whole = await openai().audio.transcriptions.create({ model: "gpt-4o-transcribe", file });
  assert.equal(whole.text, HEARD[0]);
  const events = await collect(await openai().audio.transcriptions.create(
    { model: "gpt-4o-transcribe", file, stream: true }));
  assert.equal(events.at(-1).text, HEARD[1]);
}

// ---- Anthropic ----

const anthropic = (more = {}) =>
  new Anthropic({ apiKey: KEY, baseURL: http, maxRetries: 0, timeout, ...more });
const tell = (client, text, more = {}) =>
  client.messages.create({ model: "claude-of-the-tests", max_tokens: 256, messages: user(text),
    ...more });

async function anthropicRetries() {
  const reply = await tell(anthropic({ maxRetries: 2 }), "opening hours");
  assert.equal(reply.content[0].text, HOURS);
}

async function anthropicStreamed() {
  const pieces = [];
  const stream = anthropic().messages.stream(
    { model: "m", max_tokens: 256, messages: user("opening hours") });
  stream.on("text", (piece) => pieces.push(piece));
  const final = await stream.finalMessage();
  assert.equal(pieces.join(""), HOURS);
  assert.ok(pieces.length > 10);
  assert.equal(final.stop_reason, "end_turn");
  assert.equal(final.usage.output_tokens, 15);
}

async function anthropicTools() {
  const final = await anthropic().messages.stream({ model: "m", max_tokens: 256,
    tools: [{ name: "get_weather", input_schema: { type: "object" } }],
    messages: user("weather") }).finalMessage();
  assert.deepEqual(final.content.map((b) => b.type), ["text", "tool_use"]);
  assert.deepEqual(final.content[1].input, { place: "Paris", asked: "weather" });
  assert.equal(final.stop_reason, "tool_use");
}

async function anthropicErrors() {
  await raises(Anthropic.AuthenticationError, () => tell(anthropic({ apiKey: "no" }), "x"), 401);
  const limited = await raises(Anthropic.RateLimitError, () => tell(anthropic(), "fault-429"), 429);
  assert.equal(limited.headers.get("retry-after"), "7");
  await raises(Anthropic.InternalServerError, () => tell(anthropic(), "fault-500"), 500);
  await raises(Anthropic.APIError, () => tell(anthropic(), "fault-529"), 529);
  const error = await raises(Anthropic.APIError, async () =>
    collect(await tell(anthropic(), "wait for it, fault-error", { stream: true })));
  assert.match(error.message, /overloaded/);
}

// ---- Deepgram ----

const deepgram = (apiKey = KEY) => new DeepgramClient({ apiKey,
  environment: { base: http, production: ws, agent: ws, agentRest: http } });
const voice = (ms) => {
  const sound = Buffer.alloc(ms * 16);
  for (let i = 0; i < ms * 8; i++) sound.writeInt16LE((i / 20 | 0) % 2 ? 8000 : -8000, 2 * i);
  return sound;
};
const quiet = (ms) => Buffer.alloc(ms * 16);

async function paced(socket, sound, step = 640) {
  for (let at = 0; at < sound.length; at += step, await sleep(step / 64))
    socket.sendMedia(sound.subarray(at, at + step));
}

async function opened(connection) {
  const messages = [], closes = [];
  connection.on("message", (m) => messages.push(m));
  connection.on("close", (e) => closes.push(e));
  connection.on("error", () => {});
  connection.connect();
  await connection.waitForOpen();
  return { messages, closes, of: (type) => messages.filter((m) => m.type === type) };
}

async function deepgramListen() {
  const socket = await deepgram().listen.v1.connect({ model: "nova-3", encoding: "linear16",
    sample_rate: 8000, interim_results: "true", vad_events: "true", utterance_end_ms: 1000,
    reconnectAttempts: 0, shouldReconnect: () => false });
  const got = await opened(socket);
  const finals = () => got.of("Results").filter(
    (m) => m.is_final && m.channel.alternatives[0].transcript);
  socket.sendKeepAlive({ type: "KeepAlive" });
  await paced(socket, Buffer.concat([quiet(200), voice(1500), quiet(1500)]));
  await until(() => got.of("UtteranceEnd").length, "UtteranceEnd");
  assert.equal(finals()[0].channel.alternatives[0].transcript, HEARD[0]);
  assert.equal(finals()[0].speech_final, true);
  assert.deepEqual(finals()[0].channel.alternatives[0].words.map((w) => w.word),
    HEARD[0].split(" "));
  assert.ok(got.of("SpeechStarted").length);
  assert.ok(got.of("Results").some((m) => !m.is_final));
  await paced(socket, voice(600));
  socket.sendFinalize({ type: "Finalize" });
  await until(() => finals().length === 2, "Finalize");
  assert.equal(finals()[1].channel.alternatives[0].transcript, HEARD[1]);
  assert.equal(finals()[1].from_finalize, true);
  socket.sendCloseStream({ type: "CloseStream" });
  await until(() => got.of("Metadata").length && got.closes.length, "the end");
  assert.equal(got.closes[0].code, 1000);
  socket.close();
}

async function deepgramListenErrors() {
  for (const [key, model, status] of [["wrong", "nova-3", 401], [KEY, "fault-429", 429]]) {
    const socket = await deepgram(key).listen.v1.connect({ model, encoding: "linear16",
      sample_rate: 8000, reconnectAttempts: 0, shouldReconnect: () => false });
    const errors = [];
    socket.on("error", (e) => errors.push(e));
    socket.connect();
    await until(() => errors.length, "an error");
    assert.match(String(errors[0].message), new RegExp(status));
    socket.close();
  }
}

async function deepgramSpeak() {
  const text = "Hello there, how are you?";
  const socket = await deepgram().speak.v1.connect({ model: "aura-2-thalia-en",
    encoding: "mulaw", sample_rate: 8000, reconnectAttempts: 0, shouldReconnect: () => false });
  const got = await opened(socket);
  socket.sendText({ type: "Speak", text });
  socket.sendFlush({ type: "Flush" });
  await until(() => got.of("Flushed").length, "Flushed");
  const pieces = got.messages.filter((m) => !m.type || m instanceof Blob);
  const sizes = pieces.map((m) => m.size ?? m.byteLength ?? m.length);
  assert.equal(sizes.reduce((a, b) => a + b, 0), audioBytes(text, 8000, 1));
  socket.sendClear({ type: "Clear" });
  await until(() => got.of("Cleared").length, "Cleared");
  socket.sendClose({ type: "Close" });
  await until(() => got.closes.length, "the end");
  socket.close();
  const whole = await deepgram().speak.v1.audio.generate({ text, model: "aura-2-thalia-en",
    encoding: "linear16", sample_rate: 16000, container: "none" });
  assert.equal((await whole.arrayBuffer()).byteLength, audioBytes(text, 16000, 2));
  for (const [key, said, status] of [["wrong", text, 401], [KEY, "fault-500", 500]])
    await raises(DeepgramError, () => deepgram(key).speak.v1.audio.generate(
      { text: said, encoding: "linear16", container: "none" }, { maxRetries: 0 }), status);
}

// ---- AssemblyAI ----

function assemblyai(params) {
  const client = new StreamingTranscriber({ websocketBaseUrl: `wss://${address}/v3/ws`,
    sampleRate: 8000, encoding: "pcm_s16le", speechModel: "universal-streaming-english",
    connectTimeout: timeout, maxConnectionRetries: 0, ...params });
  // The client takes only wss:// addresses.
  const own = client.connectionUrl.bind(client);
  client.connectionUrl = () => Object.assign(own(), { protocol: "ws:" });
  const got = { turns: [], errors: [], closes: [], started: 0 };
  client.on("turn", (turn) => got.turns.push(turn));
  client.on("speechStarted", () => got.started++);
  client.on("error", (e) => got.errors.push(e));
  client.on("close", (code) => got.closes.push(code));
  return { client, got };
}

const hear = (client, sound) =>
  paced({ sendMedia: (piece) => client.sendAudio(piece) }, sound, 1600);

async function assemblyaiListen() {
  for (const credential of [{ apiKey: KEY }, { token: KEY }]) {
    const { client, got } = assemblyai({ formatTurns: true, ...credential });
    const ended = () => got.turns.filter((t) => t.end_of_turn);
    assert.ok((await client.connect()).id);
    client.keepAlive();
    await hear(client, Buffer.concat([quiet(200), voice(1500), quiet(1000)]));
    await until(() => ended().length === 2, "the end of a turn");
    assert.deepEqual(ended()[0].words.map((w) => w.text), HEARD[0].split(" "));
    assert.equal(ended()[0].transcript, HEARD[0]);
    assert.match(ended()[1].transcript, /^What .*\.$/);
    assert.ok(got.started && got.turns.some((t) => !t.end_of_turn));
    client.updateConfiguration({ format_turns: false });
    await hear(client, voice(600));
    client.forceEndpoint();
    await until(() => ended().length === 3, "the forced end");
    assert.equal(ended()[2].transcript, HEARD[1]);
    await client.close();
    assert.deepEqual(got.errors, []);
  }
}

async function assemblyaiErrors() {
  for (const [params, what] of [[{ apiKey: "wrong" }, /401/],
    [{ apiKey: KEY, keytermsPrompt: ["fault-429"] }, /429/],
    [{ apiKey: KEY, sampleRate: 4000 }, /sample_rate/]])
    assert.match((await raises(Error, () => assemblyai(params).client.connect())).message, what);
  const { client, got } = assemblyai({ apiKey: KEY });
  await client.connect();
  await hear(client, voice(20));
  await until(() => got.closes.length, "the end");
  assert.deepEqual([got.errors.map((e) => e.code), got.closes], [[3007], [3007]]);
}

// ---- Cartesia ----

const PCM = { container: "raw", encoding: "pcm_s16le", sample_rate: 16000 };
const VOICE = { mode: "id", id: "6ccbfb76-1fc6-48f7-b71d-91ac6298247b" };
const cartesia = (apiKey = KEY) => new Cartesia({ apiKey, baseURL: http, maxRetries: 0, timeout });
// The client makes its own address a wss:// one; this option of its socket leaves the TLS out.
const plain = { createConnection: ({ host, port }) => net.connect(port, host) };

async function cartesiaSocket() {
  const socket = await cartesia().tts.websocket(plain);
  const options = { model_id: "sonic-3", voice: VOICE, output_format: PCM, timeout };
  const context = socket.context({ ...options, add_timestamps: true });
  for (const transcript of ["The road ", "goes ever ", "on and ", "on."])
    await context.push({ transcript });
  await context.no_more_inputs();
  const events = await collect(context.receive());
  const bytes = events.filter((e) => e.type === "chunk").reduce((n, e) => n + e.audio.length, 0);
  assert.equal(bytes, audioBytes("The road goes ever on and on.", 16000, 2));
  assert.deepEqual(events.filter((e) => e.type === "timestamps")
    .flatMap((e) => e.word_timestamps.words), ["The", "road", "goes", "ever", "on", "and", "on."]);
  assert.equal(events.at(-1).type, "done");
  const stopped = socket.context(options);
  await stopped.push({ transcript: "This will not be heard to its end, long as it is. ".repeat(9) });
  await stopped.cancel();
  const wrong = socket.context({ ...options, output_format: { ...PCM, sample_rate: 1 } });
  socket.on("error", () => {});
  await wrong.push({ transcript: "x" });
  await raises(Error, () => collect(wrong.receive()));
  socket.close();
}

async function cartesiaHttp() {
  const text = "Hi there, this is a test.";
  const request = { model_id: "sonic-3", transcript: text, voice: VOICE, output_format: PCM };
  const reply = await cartesia().tts.generate(request);
  assert.equal((await reply.arrayBuffer()).byteLength, audioBytes(text, 16000, 2));
  await raises(Cartesia.AuthenticationError, () => cartesia("wrong").tts.generate(request), 401);
  await raises(Cartesia.RateLimitError,
    () => cartesia().tts.generate({ ...request, transcript: "fault-429" }), 429);
}

// ---- ElevenLabs ----

const eleven = (apiKey = KEY) => new ElevenLabsClient({ apiKey, baseUrl: http });

async function elevenHttp() {
  const text = "Good evening, everybody.";
  const speech = eleven().textToSpeech;
  assert.equal(await bytesOf(await speech.stream("voice", { text, outputFormat: "ulaw_8000" })),
    audioBytes(text, 8000, 1));
  assert.equal(await bytesOf(await speech.convert("voice", { text, outputFormat: "pcm_16000" })),
    audioBytes(text, 16000, 2));
  for (const [key, said, status] of [["wrong", text, 401], [KEY, "fault-429", 429]])
    await raises(ElevenLabsError, () => eleven(key).textToSpeech.convert("voice",
      { text: said, outputFormat: "pcm_16000" }, { maxRetries: 0 }), status);
}

const tests = [openaiRetries, openaiStreamed, openaiTools, openaiErrors, openaiCancels,
  openaiSpeech, openaiTranscription, anthropicRetries, anthropicStreamed, anthropicTools,
  anthropicErrors, deepgramListen, deepgramListenErrors, deepgramSpeak, assemblyaiListen,
  assemblyaiErrors, cartesiaSocket, cartesiaHttp, elevenHttp];

async function main() {
  let failed = 0;
  for (const test of tests) {
    const began = Date.now();
    try {
      await test();
      console.log(`ok    node ${test.name}  ${((Date.now() - began) / 1000).toFixed(1)} s`);
    } catch (e) {
      failed++;
      const at = /sdk_node\.cjs:\d+/.exec(e.stack) ?? "?";
      console.log(`FAIL  node ${test.name}, ${at}: ${String(e.message).slice(0, 600)}`);
    }
  }
  console.log(`${tests.length - failed} of ${tests.length} passed`);
  process.exit(failed ? 1 : 0);
}

main();
