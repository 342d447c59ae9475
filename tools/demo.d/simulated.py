"""The demo over simulated cloud providers: the agent that uses them, the process that plays them.
The recogniser is told beforehand what the caller will say; all else is as with the vendors."""
import json
import os
import signal
import subprocess

STOP_S = 60
# Constant delays, near the medians that vendors publish.
DELAYS = {"end_of_turn": 260, "first_token": 160, "first_audio": 90}
FAINT = 240  # loudness of a last syllable on a quiet line: it is still speech
ANSWERS = {
    "opening_hours": "We are open from Monday to Friday, from eight to six, and on Saturday from "
                     "nine to twelve. On Sunday we are closed.",
    "directions": "We are in the high street, number ten, just across from the station.",
    "book": "Gladly. The next free time is on Tuesday at ten. Shall I take it?",
    "inform": "Thank you, I have noted that. Is that right?",
    "yes": "Very good, that is settled.",
    "no": "All right, then we leave it as it was.",
    "move": "We can move it to Thursday at three. Is that all right?",
    "cancel": "I can cancel it for you. Shall I?",
    "repeat": "I said that everything is settled.",
    "person": "I will ask a colleague to call you back.",
    "goodbye": "Goodbye, and thank you for calling. | call end_call {}",
}
SPEAKERS = {
    "cartesia": '{{provider: cartesia, base_url: "ws://{at}/tts/websocket", api_key: simulated, '
                'model: sonic-3, voice: simulated}}',
    "flite": "{{provider: flite, voice: slt}}",
}


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def providers_file(path, steps):
    """What is heard, in the order in which it is said, and what is answered to each."""
    heard = [f"~{s['lasts_s']:.2f} {s['text']}" for s in steps if "dtmf" not in s]
    # The longest first: the first rule whose words are in what was said is taken.
    rules = [f"{s['text']} => {ANSWERS.get(s['intent'], 'Very well.')}"
             for s in sorted(steps, key=lambda s: -len(s["text"]))]
    with open(path, "w", encoding="utf-8") as f:
        f.write("bind: 127.0.0.1:0\nlog: asked.log\nlog_sent: true\nhear:\n  count: server\n"
                f"  level: {FAINT}\n"
                f"  end_of_turn: constant {DELAYS['end_of_turn']}\n  finalize: constant 0\n"
                "  texts:\n" + "".join(f"    - {quoted(t)}\n" for t in heard) +
                f"answer:\n  first_token: constant {DELAYS['first_token']}\n  token: constant 5\n"
                "  rules:\n" + "".join(f"    - {quoted(r)}\n" for r in rules) +
                f"speak:\n  first_audio: constant {DELAYS['first_audio']}\n")


def agent_file(path, name, at, tts):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"name: {name}\n"
                "greeting: >-\n  Hello, this is the clinic's front desk. I can tell you our opening"
                " hours and the way to us,\n  and book, move or cancel an appointment. What can I"
                " do for you?\n"
                "prompt: You are the front desk of a small clinic.\n"
                f'stt: {{provider: deepgram, base_url: "ws://{at}/v1/listen", '
                "api_key: simulated}\n"
                f'llm: {{provider: openai, base_url: "http://{at}/v1", api_key: simulated, '
                "model: simulated}\n"
                f"tts: {SPEAKERS[tts].format(at=at)}\n"
                "vad: {provider: silero, confidence: 0.5, stop_ms: 100}\n"
                "patience: {complete_ms: 100, open_ms: 900}\n")


def speaker(server):
    """Cartesia where this build of the server has it; it says so itself."""
    listed = subprocess.run([server, "--list-providers"], capture_output=True, text=True).stdout
    return "cartesia" if "cartesia" in listed else "flite"


class Simulated:
    """The providers' process, and the agent's file. Raises OSError with one sentence."""

    def __init__(self, folder, programs, server, name, steps):
        self.folder = folder
        self.tts = speaker(server)
        self.log = os.path.join(folder, "asked.log")
        config = os.path.join(folder, "providers.yaml")
        providers_file(config, steps)
        self.process = subprocess.Popen([os.path.join(programs, "sidetone-providers"), "--config",
                                         config], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise OSError(f"the simulated providers ended ({self.process.wait()})")
        self.agent = os.path.join(folder, name + ".yaml")
        agent_file(self.agent, name, json.loads(line)["ready"], self.tts)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode
