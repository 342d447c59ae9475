require('http').createServer(async (request, response) => {
  let body = '';
  for await (const piece of request) body += piece;
  response.end(JSON.stringify({ parcel: JSON.parse(body).arguments.number, state: 'sent' }));
}).listen(Number(process.argv[2]), '127.0.0.1');
