"""The vendors' own Python clients against the simulated providers: what they make of the answers is
what the script says, and what went wrong is the exception they document. Arguments: HOST:PORT."""
import json
import logging
import sys
import threading
import time
import wave
import io

import anthropic
import cartesia
import deepgram
import elevenlabs
import openai
import websockets.sync.client
from assemblyai.streaming import v3 as assemblyai
from cartesia import Cartesia
from deepgram import DeepgramClient
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs.client import ElevenLabs

ADDRESS = sys.argv[1]
HTTP, WS = f"http://{ADDRESS}", f"ws://{ADDRESS}"
KEY = "key-of-the-tests"
MS_PER_CHARACTER = 50
HOURS = "We are open from eight to six. Sunday is a day of rest: déjà vu!"
HEARD = ["what are your opening hours on saturday", "book a table for tuesday please"]
TIMEOUT_S = 60


def equal(got, wanted):
    assert got == wanted, f"{got!r} instead of {wanted!r}"


def audio_bytes(text, rate_hz, sample_bytes):
    return len(text) * MS_PER_CHARACTER * rate_hz // 1000 * sample_bytes


def raises(kind, call, status=None):
    try:
        call()
    except kind as e:
        if status:
            equal(getattr(e, "status_code", None) or e.response.status_code, status)
        return e
    raise AssertionError(f"no {kind.__name__}")


# ---- OpenAI ----

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather somewhere.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}}}


def openai_client(**more):
    return openai.OpenAI(api_key=more.pop("key", KEY), base_url=HTTP + "/v1",
                         max_retries=more.pop("max_retries", 0), timeout=TIMEOUT_S, **more)


def ask(client, text, **more):
    return client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "system", "content": "You are brief."},
                                       {"role": "user", "content": text}], **more)


def openai_retries():
    reply = ask(openai_client(max_retries=2), "opening hours")
    equal(reply.choices[0].message.content, HOURS)


def openai_whole():
    reply = ask(openai_client(), "what are your opening hours")
    equal(reply.choices[0].message.content, HOURS)
    equal(reply.choices[0].finish_reason, "stop")
    assert reply.usage.completion_tokens == 15, reply.usage
    reply = ask(openai_client(), "opening hours", max_completion_tokens=4)
    equal((reply.choices[0].message.content, reply.choices[0].finish_reason),
          ("We are open from", "length"))


def openai_streamed():
    chunks = list(ask(openai_client(), "opening hours", stream=True,
                      stream_options={"include_usage": True}))
    texts = [c.choices[0].delta.content for c in chunks if c.choices]
    equal("".join(t for t in texts if t), HOURS)
    assert sum(1 for t in texts if t) > 10
    equal(chunks[0].choices[0].delta.role, "assistant")
    equal([c.choices[0].finish_reason for c in chunks if c.choices][-1], "stop")
    equal(chunks[-1].usage.completion_tokens, 15)


def openai_tools():
    calls, text = {}, ""
    for chunk in ask(openai_client(), "what is the weather", stream=True, tools=[WEATHER]):
        text += chunk.choices[0].delta.content or ""
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name,
                                                 "arguments": ""})
            call["arguments"] += part.function.arguments
        finish = chunk.choices[0].finish_reason
    equal((text, finish, len(calls)), ("Let me look.", "tool_calls", 1))
    equal(calls[0]["name"], "get_weather")
    equal(json.loads(calls[0]["arguments"]), {"place": "Paris", "asked": "what is the weather"})
    message = ask(openai_client(), "both", tools=[WEATHER]).choices[0].message
    equal([(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls],
          [("first", {"n": 1}), ("second", {"n": 2})])
    reply = openai_client().chat.completions.create(model="m", messages=[
        {"role": "user", "content": "weather"}, message,
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}])
    equal(reply.choices[0].message.content, "It is sunny in Paris.")


def openai_helper():
    """The client's own accumulation of a stream."""
    with openai_client().chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "weather"}], tools=[WEATHER]) as s:
        final = s.get_final_completion()
    equal(final.choices[0].message.content, "Let me look.")
    equal(final.choices[0].message.tool_calls[0].function.name, "get_weather")


def openai_errors():
    raises(openai.AuthenticationError, lambda: ask(openai_client(key="wrong"), "x"), 401)
    limited = raises(openai.RateLimitError, lambda: ask(openai_client(), "fault-429"), 429)
    equal((limited.response.headers["retry-after"], limited.code), ("7", "rate_limit_exceeded"))
    assert limited.request_id.startswith("req_")
    raises(openai.InternalServerError, lambda: ask(openai_client(), "fault-500"), 500)
    raises(openai.BadRequestError,
           lambda: openai_client().chat.completions.create(model="m", messages=[]), 400)
    raises(openai.NotFoundError, lambda: openai_client().models.list(), 404)
    raises(openai.APIError,
           lambda: list(ask(openai_client(), "wait for it, fault-error", stream=True)))
    raises(openai.APITimeoutError,
           lambda: ask(openai_client().with_options(timeout=0.5), "fault-silence"))
    for fault in ("fault-reset", "fault-close"):
        raises(Exception,
               lambda: list(ask(openai_client(), "wait for it, " + fault, stream=True)))


def openai_speech():
    text = "Good morning, this is a test."
    client = openai_client()
    with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="alloy", input=text, response_format="pcm") as r:
        equal(sum(map(len, r.iter_bytes())), audio_bytes(text, 24000, 2))
    whole = client.audio.speech.create(model="tts-1", voice="alloy", input=text,
                                       response_format="wav").read()
    with wave.open(io.BytesIO(whole)) as wav:
        equal((wav.getframerate(), wav.getnframes()), (24000, audio_bytes(text, 24000, 1)))
    raises(openai.BadRequestError,
           lambda: client.audio.speech.create(model="m", voice="alloy", input=""), 400)


def openai_transcription():
    client = openai_client()
    upload = ("said.wav", b"RIFF" + b"\0" * 8000)
    reply = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=upload)
    equal(reply.text, HEARD[0])
    events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=upload,
                                                     stream=True))
    equal(events[-1].text, HEARD[1])
    equal("".join(e.delta for e in events if e.type == "transcript.text.delta"), HEARD[1])
    raises(openai.BadRequestError, lambda: client.audio.transcriptions.create(
        model="m", file=("empty.wav", b"")), 400)


# ---- Anthropic ----

LOOK = {"name": "get_weather", "description": "The weather.", "input_schema": {"type": "object"}}


def anthropic_client(**more):
    return anthropic.Anthropic(api_key=more.pop("key", KEY), base_url=HTTP, timeout=TIMEOUT_S,
                               max_retries=more.pop("max_retries", 0))


def tell(client, text, **more):
    return client.messages.create(model="claude-of-the-tests",
                                  max_tokens=more.pop("max_tokens", 256),
                                  messages=[{"role": "user", "content": text}], **more)


def anthropic_retries():
    equal(tell(anthropic_client(max_retries=2), "opening hours").content[0].text, HOURS)


def anthropic_whole():
    reply = tell(anthropic_client(), "opening hours", system="Be brief.")
    equal((reply.content[0].text, reply.stop_reason), (HOURS, "end_turn"))
    equal(reply.usage.output_tokens, 15)
    reply = tell(anthropic_client(), "opening hours", max_tokens=4)
    equal((reply.content[0].text, reply.stop_reason), ("We are open from", "max_tokens"))


def anthropic_streamed():
    with anthropic_client().messages.stream(
            model="m", max_tokens=256,
            messages=[{"role": "user", "content": [{"type": "text",
                                                    "text": "opening hours"}]}]) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    equal("".join(pieces), HOURS)
    assert len(pieces) > 10
    equal((final.content[0].text, final.stop_reason, final.usage.output_tokens),
          (HOURS, "end_turn", 15))


def anthropic_tools():
    with anthropic_client().messages.stream(
            model="m", max_tokens=256, tools=[LOOK],
            messages=[{"role": "user", "content": "weather"}]) as stream:
        final = stream.get_final_message()
    equal([b.type for b in final.content], ["text", "tool_use"])
    equal(final.content[1].input, {"place": "Paris", "asked": "weather"})
    equal(final.stop_reason, "tool_use")
    reply = anthropic_client().messages.create(
        model="m", max_tokens=256, tools=[LOOK], messages=[
            {"role": "user", "content": "weather"},
            {"role": "assistant", "content": final.content},
            {"role": "user", "content": [{"type": "tool_result", "content": "sunny",
                                          "tool_use_id": final.content[1].id}]}])
    equal(reply.content[0].text, "It is sunny in Paris.")


def anthropic_errors():
    raises(anthropic.AuthenticationError, lambda: tell(anthropic_client(key="wrong"), "x"), 401)
    limited = raises(anthropic.RateLimitError, lambda: tell(anthropic_client(), "fault-429"), 429)
    equal(limited.response.headers["retry-after"], "7")
    equal(limited.body["error"]["type"], "rate_limit_error")
    raises(anthropic.InternalServerError, lambda: tell(anthropic_client(), "fault-500"), 500)
    raises(anthropic.APIStatusError, lambda: tell(anthropic_client(), "fault-529"), 529)
    raises(anthropic.BadRequestError,
           lambda: anthropic_client().messages.create(model="m", max_tokens=1, messages=[]), 400)
    raises(anthropic.APIStatusError,
           lambda: list(tell(anthropic_client(), "wait for it, fault-error", stream=True)))
    raises(Exception,
           lambda: list(tell(anthropic_client(), "wait for it, fault-reset", stream=True)))


# ---- Deepgram ----

def deepgram_client(key=KEY):
    return DeepgramClient(api_key=key, environment=DeepgramClientEnvironment(
        base=HTTP, production=WS, agent=WS, agent_rest=HTTP))


def voice(ms, rate_hz=8000):
    """A square tone: loud enough to be somebody."""
    return b"".join((8000 if i // 20 % 2 else -8000).to_bytes(2, "little", signed=True)
                    for i in range(ms * rate_hz // 1000))


def quiet(ms, rate_hz=8000):
    return bytes(ms * rate_hz // 1000 * 2)


def paced(send, sound, rate_hz=8000, piece_ms=40, speed=4):
    step = rate_hz * piece_ms // 1000 * 2
    for at in range(0, len(sound), step):
        send(sound[at:at + step])
        time.sleep(piece_ms / 1000 / speed)


class Ears:
    """A listening connection whose messages are gathered by a thread."""

    def __init__(self, socket):
        self.socket, self.messages, self.errors = socket, [], []
        socket.on(EventType.MESSAGE, self.messages.append)
        socket.on(EventType.ERROR, self.errors.append)
        self.thread = threading.Thread(target=socket.start_listening, daemon=True)
        self.thread.start()

    def of(self, kind):
        return [m for m in self.messages if getattr(m, "type", None) == kind]

    def finals(self):
        return [m for m in self.of("Results")
                if m.is_final and m.channel.alternatives[0].transcript]

    def wait(self, fits):
        until = time.monotonic() + TIMEOUT_S
        while not fits():
            assert time.monotonic() < until, f"in vain: {self.messages[-3:]} {self.errors}"
            time.sleep(0.01)


def deepgram_listen():
    with deepgram_client().listen.v1.connect(
            model="nova-3", encoding="linear16", sample_rate=8000, interim_results="true",
            vad_events="true", utterance_end_ms=1000, punctuate="true") as socket:
        ears = Ears(socket)
        socket.send_keep_alive()
        paced(socket.send_media, quiet(200) + voice(1500) + quiet(1500))
        ears.wait(lambda: ears.of("UtteranceEnd"))
        final = ears.finals()[-1]
        equal(final.channel.alternatives[0].transcript, HEARD[0])
        equal([w.word for w in final.channel.alternatives[0].words], HEARD[0].split())
        assert final.speech_final and abs(final.start - 0.2) < 0.05, final.start
        assert abs(final.duration - 1.5) < 0.05, final.duration
        equal(abs(ears.of("UtteranceEnd")[0].last_word_end - 1.7) < 0.05, True)
        assert ears.of("SpeechStarted")
        interim = [m for m in ears.of("Results") if not m.is_final]
        assert interim and all(HEARD[0].startswith(m.channel.alternatives[0].transcript)
                               for m in interim)
        paced(socket.send_media, voice(600))
        socket.send_finalize()
        ears.wait(lambda: len(ears.finals()) == 2)
        equal(ears.finals()[1].channel.alternatives[0].transcript, HEARD[1])
        equal(ears.finals()[1].from_finalize, True)
        socket.send_close_stream()
        ears.thread.join(TIMEOUT_S)
        assert not ears.thread.is_alive()
        equal((len(ears.of("Metadata")), ears.errors), (1, []))
        assert abs(ears.of("Metadata")[0].duration - 3.8) < 0.1


def deepgram_listen_errors():
    kind = (websockets.exceptions.InvalidStatus, deepgram.core.api_error.ApiError)
    connect = deepgram_client("wrong").listen.v1.connect
    raises(kind, lambda: connect(model="nova-3").__enter__(), 401)
    connect = deepgram_client().listen.v1.connect
    raises(kind, lambda: connect(model="fault-429", encoding="linear16",
                                 sample_rate=8000).__enter__(), 429)
    raises(kind, lambda: connect(model="nova-3", encoding="linear16").__enter__(), 400)


def deepgram_speak():
    text = "Hello there, how are you?"
    with deepgram_client().speak.v1.connect(model="aura-2-thalia-en", encoding="mulaw",
                                            sample_rate=8000) as socket:
        ears = Ears(socket)
        sound = lambda: b"".join(m for m in ears.messages if isinstance(m, bytes))
        socket.send_text(deepgram.speak.v1.types.SpeakV1Text(type="Speak", text=text))
        socket.send_flush(deepgram.speak.v1.types.SpeakV1Flush(type="Flush"))
        ears.wait(lambda: ears.of("Flushed"))
        equal(len(sound()), audio_bytes(text, 8000, 1))
        assert not isinstance(ears.messages[-1], bytes) and ears.of("Metadata")
        assert len(set(sound())) > 20
        socket.send_text(deepgram.speak.v1.types.SpeakV1Text(type="Speak", text="Not this. " * 90))
        socket.send_clear(deepgram.speak.v1.types.SpeakV1Clear(type="Clear"))
        ears.wait(lambda: ears.of("Cleared"))
        before = len(sound())
        time.sleep(0.2)
        equal(len(sound()), before)
        socket.send_close(deepgram.speak.v1.types.SpeakV1Close(type="Close"))
        ears.thread.join(TIMEOUT_S)
        equal(ears.errors, [])
    whole = b"".join(deepgram_client().speak.v1.audio.generate(
        text=text, model="aura-2-thalia-en", encoding="linear16", sample_rate=16000,
        container="none"))
    equal(len(whole), audio_bytes(text, 16000, 2))
    no = {"max_retries": 0}
    generate = deepgram_client("wrong").speak.v1.audio.generate
    raises(deepgram.core.api_error.ApiError,
           lambda: list(generate(text=text, encoding="linear16", container="none",
                                 request_options=no)), 401)
    generate = deepgram_client().speak.v1.audio.generate
    for status in (429, 500):
        raises(deepgram.core.api_error.ApiError,
               lambda: list(generate(text=f"fault-{status}", encoding="linear16",
                                     container="none", request_options=no)), status)


# ---- AssemblyAI ----

class Session:
    """A streaming session whose events are gathered by the client's own thread."""

    def __init__(self, key=KEY, **more):
        self.events, self.errors = [], []
        self.client = assemblyai.RealTimeTranscriber(assemblyai.RealTimeTranscriberOptions(
            api_host=WS, api_key=key, connect_timeout=TIMEOUT_S, max_connection_retries=0))
        for event in assemblyai.RealTimeEvents:
            gather = self.errors if event.name == "Error" else self.events
            self.client.on(event, lambda _, what, gather=gather: gather.append(what))
        self.client.connect(assemblyai.RealTimeParameters(**{
            "sample_rate": 8000, "encoding": assemblyai.Encoding.pcm_s16le,
            "speech_model": assemblyai.SpeechModel.universal_streaming_english, **more}))

    def of(self, kind):
        return [e for e in self.events if e.type == kind]

    def ended(self):
        return [t for t in self.of("Turn") if t.end_of_turn]

    def wait(self, fits):
        until = time.monotonic() + TIMEOUT_S
        while not fits():
            assert time.monotonic() < until, f"in vain: {self.events[-3:]} {self.errors}"
            time.sleep(0.01)

    def say(self, sound):
        paced(self.client.stream, sound, piece_ms=100)

    def fails(self, code):
        self.wait(lambda: self.errors)
        equal([e.code for e in self.errors], [code])
        self.client.disconnect()
        return str(self.errors[0])


def assemblyai_listen():
    session = Session(format_turns=True, keyterms_prompt=["Saturday", "front desk"])
    session.wait(lambda: session.of("Begin"))
    equal(session.of("Begin")[0].configuration.model, "universal-streaming-english")
    assert session.of("Begin")[0].expires_at.timestamp() > time.time() + 3600
    session.say(quiet(200) + voice(1500) + quiet(1000))
    session.wait(lambda: len(session.ended()) == 2)
    plain, formatted = session.ended()
    equal((plain.transcript, plain.turn_is_formatted), (HEARD[0], False))
    equal((formatted.transcript, formatted.turn_is_formatted), (HEARD[0].capitalize() + ".", True))
    equal((plain.turn_order, formatted.turn_order), (0, 0))
    equal([w.text for w in plain.words], HEARD[0].split())
    assert abs(plain.words[0].start - 200) < 50 and abs(plain.words[-1].end - 1700) < 50, plain
    assert all(w.word_is_final for w in plain.words)
    assert abs(session.of("SpeechStarted")[0].timestamp - 200) < 50
    partials = [t for t in session.of("Turn") if not t.end_of_turn]
    assert partials and all(HEARD[0].startswith(t.transcript) for t in partials)
    assert all([w.word_is_final for w in t.words] == [True] * (len(t.words) - 1) + [False]
               for t in partials)
    session.client.keep_alive()
    session.client.set_params(assemblyai.RealTimeSessionParameters(format_turns=False))
    session.say(voice(600))
    session.client.force_endpoint()
    session.wait(lambda: len(session.ended()) == 3)
    equal((session.ended()[2].transcript, session.ended()[2].turn_order), (HEARD[1], 1))
    session.say(voice(600))
    session.client.disconnect(terminate=True)
    equal([t.transcript for t in session.ended()[3:]], ["nothing was heard of this one"])
    equal([t.audio_duration_seconds for t in session.of("Termination")], [3])
    equal(session.errors, [])


def assemblyai_errors():
    Session("wrong").fails(401)
    Session(keyterms_prompt=["fault-429"]).fails(429)
    assert "sample_rate" in Session(sample_rate=4000).fails(3006)
    assert "encoding" in Session(encoding=assemblyai.Encoding.opus).fails(3006)
    session = Session()
    session.say(voice(20))
    assert "20.0 ms" in session.fails(3007)
    session = Session(keyterms_prompt=["fault-error"])
    session.say(voice(1500))
    session.fails(3005)
    session = Session(keyterms_prompt=["fault-close"])
    session.say(voice(1500))
    session.fails(1011)


# ---- Cartesia ----

PCM = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
VOICE = {"mode": "id", "id": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"}


def cartesia_client(key=KEY):
    return Cartesia(api_key=key, base_url=HTTP, websocket_base_url=WS, max_retries=0,
                    timeout=TIMEOUT_S)


def cartesia_socket():
    parts = ["The road ", "goes ever ", "on and ", "on. ", "So it is."]
    with cartesia_client().tts.websocket_connect() as ws:
        ctx = ws.context(model_id="sonic-3", voice=VOICE, output_format=PCM, language="en",
                         add_timestamps=True, timeout=TIMEOUT_S)
        other = ws.context(model_id="sonic-3", voice=VOICE, output_format=PCM, timeout=TIMEOUT_S)
        other.push("Something else.")
        for part in parts:
            ctx.push(part)
        ctx.no_more_inputs()
        other.no_more_inputs()
        events = list(ctx.receive())
        chunks = [e.audio for e in events if e.type == "chunk"]
        equal(sum(map(len, chunks)), sum(audio_bytes(t, 16000, 2) for t in
                                         ("The road goes ever on and on.", " So it is.")))
        words = [w for e in events if e.type == "timestamps" for w in e.word_timestamps.words]
        equal(words, "".join(parts).split())
        equal(events[-1].type, "done")
        heard = b"".join(e.audio for e in other.receive() if e.type == "chunk")
        equal(len(heard), audio_bytes("Something else.", 16000, 2))


def cartesia_errors():
    client = cartesia_client()
    with client.tts.websocket_connect() as ws:
        ctx = ws.context(model_id="sonic-3", voice=VOICE, timeout=TIMEOUT_S,
                         output_format={**PCM, "encoding": "pcm_f16"})
        ctx.push("Hello.")
        events = list(ctx.receive())
        equal([(e.type, e.status_code) for e in events], [("error", 400)])
        assert "encoding" in events[0].message
    bad = lambda c: c.tts.generate(model_id="sonic-3", transcript="x", voice=VOICE,
                                   output_format=PCM)
    raises(cartesia.AuthenticationError, lambda: bad(cartesia_client("wrong")), 401)
    for status, kind in ((429, cartesia.RateLimitError), (500, cartesia.InternalServerError)):
        raises(kind, lambda: client.tts.generate(
            model_id="sonic-3", transcript=f"fault-{status}", voice=VOICE, output_format=PCM),
            status)


def cartesia_http():
    text = "Hi there, this is a test."
    client = cartesia_client()
    whole = client.tts.generate(model_id="sonic-3", transcript=text, voice=VOICE,
                                output_format=PCM).read()
    equal(len(whole), audio_bytes(text, 16000, 2))
    events = list(client.tts.generate_sse(model_id="sonic-3", transcript=text, voice=VOICE,
                                          output_format=PCM))
    equal(sum(len(e.audio) for e in events if e.type == "chunk"), audio_bytes(text, 16000, 2))
    equal(events[-1].type, "done")


# ---- ElevenLabs ----

def eleven_client(key=KEY):
    client = ElevenLabs(api_key=key, base_url=HTTP, timeout=TIMEOUT_S)
    # The client makes its own address a wss:// one, and no option says otherwise.
    client.text_to_speech._ws_base_url = WS
    return client


def eleven_socket():
    parts = ["Hello there. ", "How ", "are you today? ", "Fine."]
    pieces = list(eleven_client().text_to_speech.convert_realtime(
        "voice", text=iter(parts), model_id="eleven_flash_v2_5", output_format="pcm_16000"))
    got, wanted = sum(map(len, pieces)), audio_bytes("".join(parts), 16000, 2)
    # The client adds blanks of its own between the parts.
    assert wanted <= got <= wanted + 4 * audio_bytes(" ", 16000, 2), (got, wanted)
    equal(got % audio_bytes(" ", 16000, 2), 0)


def eleven_http():
    text = "Good evening, everybody."
    client = eleven_client().text_to_speech
    equal(sum(map(len, client.stream("voice", text=text, model_id="eleven_flash_v2_5",
                                     output_format="ulaw_8000"))), audio_bytes(text, 8000, 1))
    equal(sum(map(len, client.convert("voice", text=text, output_format="pcm_16000"))),
          audio_bytes(text, 16000, 2))
    no = {"max_retries": 0}
    wrong = eleven_client("wrong").text_to_speech
    kind = elevenlabs.core.api_error.ApiError
    raises(kind, lambda: list(wrong.convert("voice", text=text, output_format="pcm_16000")), 401)
    for status in (429, 500):
        raises(kind, lambda: list(client.convert("voice", text=f"fault-{status}",
                                                 output_format="pcm_16000", request_options=no)),
               status)


# ---- vosk-server: its clients are scripts over a WebSocket library, as this is ----

def vosk_socket():
    replies = []
    with websockets.sync.client.connect(WS + "/") as ws:
        ws.send('{ "config" : { "sample_rate" : 16000 } }')

        def send(piece):
            ws.send(piece)
            replies.append(json.loads(ws.recv(TIMEOUT_S)))
        paced(send, voice(900, 16000) + quiet(1200, 16000), 16000)
        heard = [r for r in replies if r.get("text")]
        equal([r["text"] for r in heard], [HEARD[0]])
        equal([w["word"] for w in heard[0]["result"]], HEARD[0].split())
        assert any(r.get("partial") for r in replies)
        paced(send, voice(500, 16000), 16000)
        ws.send('{"eof" : 1}')
        equal(json.loads(ws.recv(TIMEOUT_S))["text"], HEARD[1])
        raises(websockets.exceptions.ConnectionClosedOK, lambda: ws.recv(TIMEOUT_S))


TESTS = [openai_retries, openai_whole, openai_streamed, openai_tools, openai_helper, openai_errors,
         openai_speech, openai_transcription, anthropic_retries, anthropic_whole,
         anthropic_streamed, anthropic_tools, anthropic_errors, deepgram_listen,
         deepgram_listen_errors, deepgram_speak, assemblyai_listen, assemblyai_errors,
         cartesia_socket, cartesia_errors, cartesia_http, eleven_socket, eleven_http, vosk_socket]


def main():
    failed = 0
    logging.disable(logging.CRITICAL)  # errors are asked for
    for test in TESTS:
        began = time.monotonic()
        try:
            test()
            print(f"ok    python {test.__name__}  {time.monotonic() - began:.1f} s", flush=True)
        except Exception as e:
            failed += 1
            at = e.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            print(f"FAIL  python {test.__name__}, line {at.tb_lineno}: {type(e).__name__}: "
                  f"{str(e)[:600]}", flush=True)
    print(f"{len(TESTS) - failed} of {len(TESTS)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
