// Microphone and loudspeaker of one call: a context, two worklets, nothing of the network.

export interface AudioEvents {
  pcm(samples: ArrayBuffer): void; // 20 ms of the microphone
  inputLevel(level: number): void; // 0 to 1
  outputLevel(level: number): void;
  heard(mark: string): void; // all before this mark has left the loudspeaker
  lost(): void; // the microphone is gone
}

const WANTED: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  channelCount: 1,
};

export class CallAudio {
  private constructor(
    private readonly context: AudioContext,
    private readonly stream: MediaStream,
    private readonly output: AudioWorkletNode,
  ) {}

  static async open(events: AudioEvents): Promise<CallAudio> {
    if (!navigator.mediaDevices?.getUserMedia)
      throw new DOMException("no microphone here", "SecurityError");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      await context.audioWorklet.addModule("/console/capture.js");
      await context.audioWorklet.addModule("/console/playback.js");
      await context.resume();
      return CallAudio.wire(context, stream, events);
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      void context.close();
      throw error;
    }
  }

  private static wire(context: AudioContext, stream: MediaStream, events: AudioEvents): CallAudio {
    const input = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    const output = new AudioWorkletNode(context, "playback", { numberOfInputs: 0 });
    context.createMediaStreamSource(stream).connect(input);
    output.connect(context.destination);
    input.port.onmessage = (event: MessageEvent): void => {
      const { pcm, level } = event.data as { pcm: ArrayBuffer; level: number };
      events.inputLevel(level);
      events.pcm(pcm);
    };
    output.port.onmessage = (event: MessageEvent): void => {
      const { mark, level } = event.data as { mark?: string; level?: number };
      if (level !== undefined) events.outputLevel(level);
      // The worklet is ahead of the ear by what the system still holds.
      const latencyMs = (context.outputLatency || 0) * 1000;
      if (mark !== undefined) window.setTimeout(() => events.heard(mark), latencyMs);
    };
    stream.getTracks().forEach((track) => track.addEventListener("ended", () => events.lost()));
    return new CallAudio(context, stream, output);
  }

  play(pcm: ArrayBuffer): void {
    this.output.port.postMessage({ pcm }, [pcm]);
  }

  mark(name: string): void {
    this.output.port.postMessage({ mark: name });
  }

  clear(): void {
    this.output.port.postMessage({ clear: true });
  }

  // A muted microphone sends silence, so that the call sees a quiet caller and no gap.
  mute(on: boolean): void {
    this.stream.getAudioTracks().forEach((track) => (track.enabled = !on));
  }

  close(): void {
    this.stream.getTracks().forEach((track) => track.stop());
    void this.context.close();
  }
}
