// Places one call as a carrier does, with npm's WebSocket and nothing of the server's own code.
//
//     node call.cjs twilio|plivo MEDIA_URL TOKEN SENTENCE.wav
//
// Waits for the greeting and its end, says the sentence, listens until the server ends the call.
// Prints one object: what was heard and what became of the marks.
'use strict';

const fs = require('fs');
const WebSocket = require('ws');

const [dialect, url, token, wav] = process.argv.slice(2);
const LIMIT_MS = 40000, FRAME = 160, LOUD = 500;

// G.711 mu-law, by the definition of its segments.
function encode(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const level = Math.min(Math.abs(sample), 32635) + 132;
  const segment = Math.floor(Math.log2(level)) - 7;
  return ~(sign | (segment << 4) | ((level >> (segment + 3)) & 15)) & 0xff;
}

function decode(code) {
  const bits = ~code & 0xff;
  const level = (((bits & 15) << 3) + 132) << ((bits >> 4) & 7);
  return (bits & 0x80 ? 132 - level : level - 132);
}

const DIALECTS = {
  twilio: {
    url,
    first: [{ event: 'connected', protocol: 'Call', version: '1.0.0' },
      { event: 'start', sequenceNumber: '1', streamSid: 'MZ1', start: { streamSid: 'MZ1',
        accountSid: 'AC1', callSid: 'CAnode', tracks: ['inbound'],
        customParameters: { token, from: '+15550001', to: '+15550002' },
        mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 } } }],
    media: (n, payload) => ({ event: 'media', sequenceNumber: String(n + 2), streamSid: 'MZ1',
      media: { track: 'inbound', chunk: String(n + 1), timestamp: String(n * 20), payload } }),
    sound: 'media', mark: 'mark', name: (m) => m.mark.name,
    played: (name) => ({ event: 'mark', streamSid: 'MZ1', mark: { name } }),
  },
  plivo: {
    url: `${url}/${token}`,
    first: [{ sequenceNumber: 1, event: 'start', start: { callId: 'c-node', streamId: 's-1',
      accountId: 'MA1', tracks: ['inbound'],
      mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000 } }, extra_headers: '{}' }],
    media: (n, payload) => ({ sequenceNumber: n + 2, streamId: 's-1', event: 'media',
      media: { track: 'inbound', chunk: n + 1, timestamp: String(Date.now()), payload },
      extra_headers: '{}' }),
    sound: 'playAudio', mark: 'checkpoint', name: (m) => m.name,
    played: (name) => ({ event: 'playedStream', streamId: 's-1', name }),
  },
};

const d = DIALECTS[dialect];
const file = fs.readFileSync(wav);
const at = file.indexOf('data') + 8;
const sentence = new Int16Array(file.subarray(at, at + ((file.length - at) & ~1)).slice().buffer);
const socket = new WebSocket(d.url);
const heard = { bytes: 0, loud: 0, marks: 0, clears: 0, replies: 0 };
let sent = 0, spoken = -1, lastLoud = 0;

socket.on('open', () => {
  d.first.forEach((message) => socket.send(JSON.stringify(message)));
  const began = Date.now();
  const timer = setInterval(() => {
    if (socket.readyState !== WebSocket.OPEN) { clearInterval(timer); return; }
    for (; sent < (Date.now() - began) / 20; sent++) {
      const frame = Buffer.alloc(FRAME, 0xff);
      if (spoken < 0 && heard.loud && Date.now() - lastLoud > 700) spoken = 0;
      for (let i = 0; i < FRAME && spoken >= 0 && spoken < sentence.length; i++)
        frame[i] = encode(sentence[spoken++]);
      socket.send(JSON.stringify(d.media(sent, frame.toString('base64'))));
    }
  }, 10);
});

socket.on('message', (data) => {
  const message = JSON.parse(data);
  if (message.event === d.sound) {
    const sound = Buffer.from(message.media.payload, 'base64');
    const loud = sound.some((code) => Math.abs(decode(code)) > LOUD);
    heard.bytes += sound.length;
    heard.loud += loud;
    if (loud && Date.now() - lastLoud > 400) heard.replies++;
    if (loud) lastLoud = Date.now();
  } else if (message.event === d.mark) {
    heard.marks++;
    setTimeout(() => socket.send(JSON.stringify(d.played(d.name(message)))), 60);
  } else {
    heard.clears++;
  }
});

socket.on('close', (code) => {
  console.log(JSON.stringify({ dialect, code, said: spoken >= sentence.length, ...heard }));
  process.exit(0);
});
socket.on('error', (error) => { console.log(JSON.stringify({ dialect, error: String(error) })); });
setTimeout(() => { console.log(JSON.stringify({ dialect, late: true })); process.exit(1); }, LIMIT_MS);
