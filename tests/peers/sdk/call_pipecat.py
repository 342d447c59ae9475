"""Places one call by Twilio's media protocol, its sound written and read by Pipecat's serializer.

    call_pipecat.py MEDIA_URL TOKEN SENTENCE.wav

The serializer is made for the agent's end of the socket; both ends write sound alike, but for the
numbers that Twilio adds, so what it writes is sent as it is, and what the server writes is what it
reads. Only `connected`, `start` and the echo of marks, which are Twilio's part alone, are written
here. Waits for the greeting and its end, says the sentence, listens until the server ends the call;
prints one object."""
import array
import asyncio
import json
import sys
import time
import types
import wave

import websockets
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.serializers.twilio import TwilioFrameSerializer

RATE_HZ, FRAME_S, QUIET_S, LIMIT_S, LOUD = 16000, 0.02, 0.7, 40, 500
STREAM = "MZ-pipecat"


class Call:
    def __init__(self, socket, token, sentence):
        self.socket, self.token = socket, token
        with wave.open(sentence) as f:
            self.rate_hz, self.sound = f.getframerate(), f.readframes(f.getnframes())
        self.serializer = TwilioFrameSerializer(STREAM, params=TwilioFrameSerializer.InputParams(
            sample_rate=RATE_HZ, auto_hang_up=False))
        self.heard = {"frames": 0, "loud": 0, "samples": 0, "marks": 0, "replies": 0, "others": []}
        self.spoken = None  # bytes
        self.loud_at = 0.0

    async def begin(self):
        await self.serializer.setup(types.SimpleNamespace(audio_in_sample_rate=RATE_HZ))
        await self.tell({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.tell({"event": "start", "sequenceNumber": "1", "streamSid": STREAM, "start": {
            "streamSid": STREAM, "accountSid": "AC1", "callSid": "CApipecat", "tracks": ["inbound"],
            "customParameters": {"token": self.token},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}}})

    async def tell(self, message):
        await self.socket.send(json.dumps(message))

    def next_sound(self):
        """20 ms at the sentence's rate: silence until the agent has said something and paused."""
        size = int(self.rate_hz * FRAME_S) * 2
        if self.spoken is None and self.heard["loud"] and \
                time.monotonic() - self.loud_at > QUIET_S:
            self.spoken = 0
        if self.spoken is None or self.spoken >= len(self.sound):
            return bytes(size)
        part = self.sound[self.spoken:self.spoken + size]
        self.spoken += size
        return part.ljust(size, b"\0")

    async def speak(self):
        """In real time, until the socket closes."""
        began, sent = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0, began + sent * FRAME_S - time.monotonic()))
            text = await self.serializer.serialize(OutputAudioRawFrame(
                audio=self.next_sound(), sample_rate=self.rate_hz, num_channels=1))
            if text:  # the resampler holds the first ones back
                await self.socket.send(text)
            sent += 1

    def hear(self, frame):
        samples = array.array("h", frame.audio)
        loud = any(abs(s) > LOUD for s in samples)
        self.heard["frames"] += 1
        self.heard["samples"] += len(samples)
        self.heard["loud"] += loud
        now = time.monotonic()
        if loud:
            self.heard["replies"] += now - self.loud_at > 0.4
            self.loud_at = now

    async def listen(self):
        async for text in self.socket:
            frame = await self.serializer.deserialize(text)
            message = json.loads(text)
            if isinstance(frame, InputAudioRawFrame):
                self.hear(frame)
            elif message["event"] == "mark":
                self.heard["marks"] += 1
                await self.tell({"event": "mark", "streamSid": STREAM, "mark": message["mark"]})
            elif message["event"] != "media":
                self.heard["others"].append(message["event"])


async def place(url, token, sentence):
    async with websockets.connect(url) as socket:
        call = Call(socket, token, sentence)
        await call.begin()
        speaking = asyncio.create_task(call.speak())
        try:
            await asyncio.wait_for(call.listen(), LIMIT_S)
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
        said = call.spoken is not None and call.spoken >= len(call.sound)
        print(json.dumps({"code": socket.close_code, "said": said, **call.heard}))


if __name__ == "__main__":
    asyncio.run(place(*sys.argv[1:4]))
