"""A voice server of Pipecat's parts, as its examples for Twilio put them together: a FastAPI
WebSocket, Twilio's serializer at 8 kHz, Silero, a turn that ends by time, and clients of Deepgram
and OpenAI that are sent to the simulated providers. bench/run starts it in an environment of its
own (bench/rig/pipecat.py).

    server.py PORT PROVIDERS-PORT
"""
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (LLMContextAggregatorPair,
                                                                   LLMUserAggregatorParams)
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.deepgram.tts import DeepgramTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

RATE_HZ = 8000
GREETING = "Good morning, caller 1."
KEY = "any"

app = FastAPI()
providers = "127.0.0.1:9900"


@app.get("/health")
async def health():
    return {"up": True}


def transport_of(websocket, call):
    serializer = TwilioFrameSerializer(
        stream_sid=call["stream_id"], call_sid=call["call_id"],
        params=TwilioFrameSerializer.InputParams(auto_hang_up=False))
    return FastAPIWebsocketTransport(websocket=websocket, params=FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, serializer=serializer))


def pipeline_of(transport):
    stt = DeepgramSTTService(api_key=KEY, base_url="ws://" + providers)
    llm = OpenAILLMService(api_key=KEY, base_url="http://%s/v1" % providers,
                           settings=OpenAILLMService.Settings(model="simulated"))
    tts = DeepgramTTSService(api_key=KEY, base_url="ws://" + providers)
    turn = LLMContextAggregatorPair(LLMContext(), user_params=LLMUserAggregatorParams(
        vad_analyzer=SileroVADAnalyzer(params=VADParams(stop_secs=0.2)),
        user_turn_strategies=UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy()])))
    return Pipeline([transport.input(), stt, turn.user(), llm, tts, transport.output(),
                     turn.assistant()])


@app.websocket("/media")
async def media(websocket: WebSocket):
    await websocket.accept()
    _, call = await parse_telephony_websocket(websocket)
    transport = transport_of(websocket, call)
    worker = PipelineWorker(pipeline_of(transport), params=PipelineParams(
        audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=RATE_HZ))

    @transport.event_handler("on_client_connected")
    async def greet(_transport, _client):
        await worker.queue_frame(TTSSpeakFrame(GREETING))

    @transport.event_handler("on_client_disconnected")
    async def end(_transport, _client):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    port, providers_port = sys.argv[1:]
    providers = "127.0.0.1:" + providers_port
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
