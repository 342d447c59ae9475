require('http').createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  for (const content of ['You ', 'said ', JSON.parse(body).messages.at(-1).content + '.'])
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
  response.end('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n');
}).listen(Number(process.argv[2]), '127.0.0.1');
