// Microphone and loudspeaker of one call: a context, two worklets, nothing of the network.
const WANTED = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    channelCount: 1,
};
export class CallAudio {
    constructor(context, stream, output) {
        this.context = context;
        this.stream = stream;
        this.output = output;
    }
    static async open(events) {
        if (!navigator.mediaDevices?.getUserMedia)
            throw new DOMException("no microphone here", "SecurityError");
        const stream = await navigator.mediaDevices.getUserMedia({ audio: WANTED });
        const context = new AudioContext({ latencyHint: "interactive" });
        try {
            await context.audioWorklet.addModule("/console/capture.js");
            await context.audioWorklet.addModule("/console/playback.js");
            await context.resume();
            return CallAudio.wire(context, stream, events);
        }
        catch (error) {
            stream.getTracks().forEach((track) => track.stop());
            void context.close();
            throw error;
        }
    }
    static wire(context, stream, events) {
        const input = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
        const output = new AudioWorkletNode(context, "playback", { numberOfInputs: 0 });
        context.createMediaStreamSource(stream).connect(input);
        output.connect(context.destination);
        input.port.onmessage = (event) => {
            const { pcm, level } = event.data;
            events.inputLevel(level);
            events.pcm(pcm);
        };
        output.port.onmessage = (event) => {
            const { mark, level } = event.data;
            if (level !== undefined)
                events.outputLevel(level);
            // The worklet is ahead of the ear by what the system still holds.
            const latencyMs = (context.outputLatency || 0) * 1000;
            if (mark !== undefined)
                window.setTimeout(() => events.heard(mark), latencyMs);
        };
        stream.getTracks().forEach((track) => track.addEventListener("ended", () => events.lost()));
        return new CallAudio(context, stream, output);
    }
    play(pcm) {
        this.output.port.postMessage({ pcm }, [pcm]);
    }
    mark(name) {
        this.output.port.postMessage({ mark: name });
    }
    clear() {
        this.output.port.postMessage({ clear: true });
    }
    // A muted microphone sends silence, so that the call sees a quiet caller and no gap.
    mute(on) {
        this.stream.getAudioTracks().forEach((track) => (track.enabled = !on));
    }
    close() {
        this.stream.getTracks().forEach((track) => track.stop());
        void this.context.close();
    }
}
