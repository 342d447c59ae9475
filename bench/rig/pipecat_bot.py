"""The bot that bench/rig/pipecat.py loads: Twilio's media WebSocket in, Silero for voice activity,
and services that answer after fixed delays. Runs in Pipecat's own virtual environment; all calls
share one process and one event loop, as one worker on one core would.

    pipecat_bot.py PORT
"""
import asyncio
import json
import math
import struct
import sys
import time

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (LLMContextFrame, LLMFullResponseEndFrame,
                                   LLMFullResponseStartFrame, LLMTextFrame, TranscriptionFrame,
                                   TTSAudioRawFrame, TTSSpeakFrame, VADUserStoppedSpeakingFrame)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (LLMContextAggregatorPair,
                                                                   LLMUserAggregatorParams)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import (FastAPIWebsocketParams,
                                                  FastAPIWebsocketTransport)
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

TEXT_S, FIRST_TOKEN_S, TOKEN_S, FIRST_SOUND_S, SPEED = 0.05, 0.1, 0.01, 0.08, 4
RATE, CHUNK = 8000, 1600 # 200 ms
REPLY = "You said something and that is what I answer to it."
WORD_S = 0.25

app = FastAPI()


class Text(STTService):
    """One sentence, some time after the detector said that the caller is silent."""

    async def run_stt(self, audio):
        yield None

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self.create_task(self.tell())

    async def tell(self):
        await asyncio.sleep(TEXT_S)
        await self.push_frame(TranscriptionFrame("an utterance", "caller", str(time.time()),
                                                 finalized=True))


class Words(FrameProcessor):
    """The same answer, token by token."""

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(FIRST_TOKEN_S)
        for word in REPLY.split(" "):
            await self.push_frame(LLMTextFrame(word + " "))
            await asyncio.sleep(TOKEN_S)
        await self.push_frame(LLMFullResponseEndFrame())


def tone(samples):
    return b"".join(struct.pack("<h", int(8000 * math.sin(i * 2 * math.pi * 220 / RATE)))
                    for i in range(samples))


SOUND = tone(CHUNK)


class Voice(TTSService):
    """A tone as long as the words, four times as fast as it is played."""

    def __init__(self):
        super().__init__(sample_rate=RATE, push_start_frame=True, push_stop_frames=True,
                         stop_frame_timeout_s=0.5)

    async def run_tts(self, text, context_id):
        await asyncio.sleep(FIRST_SOUND_S)
        for _ in range(max(1, round(len(text.split()) * WORD_S * RATE / CHUNK))):
            yield TTSAudioRawFrame(SOUND, RATE, 1, context_id=context_id)
            await asyncio.sleep(CHUNK / RATE / SPEED)


async def stream_id(websocket):
    """Twilio says `connected`, then `start`."""
    messages = websocket.iter_text()
    await messages.__anext__()
    return json.loads(await messages.__anext__())["start"]["streamSid"]


@app.websocket("/ws")
async def serve(websocket: WebSocket):
    await websocket.accept()
    serializer = TwilioFrameSerializer(await stream_id(websocket),
                                       params=TwilioFrameSerializer.InputParams(auto_hang_up=False))
    transport = FastAPIWebsocketTransport(websocket, FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, serializer=serializer))
    talk = LLMContextAggregatorPair(LLMContext(), user_params=LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(), user_turn_strategies=UserTurnStrategies(
            stop=[SpeechTimeoutUserTurnStopStrategy()])))
    pipeline = Pipeline([transport.input(), Text(), talk.user(), Words(), Voice(),
                         transport.output(), talk.assistant()])
    task = PipelineTask(pipeline, params=PipelineParams(
        audio_in_sample_rate=RATE, audio_out_sample_rate=RATE))

    @transport.event_handler("on_client_connected")
    async def greet(*_):
        await task.queue_frame(TTSSpeakFrame("Good morning."))

    @transport.event_handler("on_client_disconnected")
    async def end(*_):
        await task.cancel()

    await PipelineRunner(handle_sigint=False).run(task)


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error",
                ws_ping_interval=None)
