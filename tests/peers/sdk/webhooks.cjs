// Do Twilio's and Plivo's own validators and the server agree on which requests are genuine?
//
//     node webhooks.cjs MEDIA_PORT PUBLIC_URL SECRET
//
// Draws requests from a seed, good ones and ones with a single thing changed, asks the vendor's
// validator about each and sends it to the server. Ends with "N passed, N failed".
'use strict';

const crypto = require('crypto');
const http = require('http');
const plivo = require('plivo');
const twilio = require('twilio');
const { getExpectedTwilioSignature } = require('twilio/lib/webhooks/webhooks');

const [port, publicUrl, secret] = process.argv.slice(2);
const EACH = 100;
let passed = 0, failed = 0, seed = 20240229;

function random(n) {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}

function word() {
  const letters = 'abcXYZ019 +&=%/äß-_.~';
  let text = '';
  for (let i = random(12); i >= 0; i--) text += letters[random(letters.length)];
  return text;
}

function fields(id) {
  const out = { [id]: 'call-' + random(1e6), From: '+1555000' + random(1000), To: '+15550002' };
  for (let i = random(5); i > 0; i--) out['Extra' + word().replace(/[^a-z0-9]/gi, '')] = word();
  return out;
}

function query() {
  let text = 'agent=clinic';
  for (let i = random(3); i > 0; i--)
    text += '&q' + i + '=' + encodeURIComponent(word());
  return text;
}

// One thing of the request is not what was signed; 0: nothing.
function tamper(request) {
  const id = 'CallSid' in request.fields ? 'CallSid' : 'CallUUID';
  switch (request.kind = random(5)) {
    case 1: request.fields.From += '1'; break;
    case 2: request.target += '&more=1'; break;
    case 3: request.fields = { ...request.fields, Added: 'x' }; break;
    case 4: request.fields[id] = 'other'; break;
  }
}

function send(request) {
  return new Promise((resolve, reject) => {
    const body = new URLSearchParams(request.fields).toString();
    const ask = http.request({
      port, host: '127.0.0.1', method: 'POST', path: request.target,
      headers: { 'Content-Type': 'application/x-www-form-urlencoded',
                 'Content-Length': Buffer.byteLength(body), ...request.headers },
    }, (answer) => { answer.resume(); answer.on('end', () => resolve(answer.statusCode)); });
    ask.on('error', reject);
    ask.end(body);
  });
}

function twilioRequest() {
  const request = { target: '/twilio/voice?' + query(), fields: fields('CallSid') };
  const signature = getExpectedTwilioSignature(secret, publicUrl + request.target, request.fields);
  tamper(request);
  request.headers = { 'X-Twilio-Signature': signature };
  request.genuine = twilio.validateRequest(secret, signature, publicUrl + request.target,
                                           request.fields);
  return request;
}

// The vendor publishes no way to sign: by its documentation, and the validator has the last word.
function plivoSignature(target, form, nonce) {
  const [path, text] = target.split('?');
  const sorted = [...new URLSearchParams(text)].sort().map(([k, v]) => k + '=' + v).join('&');
  const body = Object.keys(form).sort().map((k) => k + form[k]).join('');
  return crypto.createHmac('sha256', secret)
    .update(publicUrl + path + '?' + sorted + '.' + body + '.' + nonce).digest('base64');
}

function plivoRequest() {
  const request = { target: '/plivo/answer?' + query(), fields: fields('CallUUID') };
  const nonce = String(random(1e9));
  const signature = plivoSignature(request.target, request.fields, nonce);
  tamper(request);
  request.headers = { 'X-Plivo-Signature-V3': signature, 'X-Plivo-Signature-V3-Nonce': nonce };
  request.genuine = plivo.validateV3Signature('POST', publicUrl + request.target, nonce, secret,
                                              signature, request.fields);
  return request;
}

async function main() {
  let genuine = 0;
  for (const make of [twilioRequest, plivoRequest]) {
    for (let i = 0; i < EACH; i++) {
      const request = make();
      const status = await send(request);
      genuine += request.genuine;
      // A validator that says yes to a tampered request, or no to a good one, tests nothing.
      if ((status === 200) === request.genuine && request.genuine === (request.kind === 0)) {
        passed++;
        continue;
      }
      failed++;
      console.log(make.name, 'kind', request.kind, 'validator', request.genuine, 'server', status,
                  request.target, JSON.stringify(request.fields));
    }
  }
  console.log(`      ${genuine} genuine requests of ${2 * EACH}`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed || genuine < 20 ? 1 : 0);
}

main();
