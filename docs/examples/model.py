import http.server, json, sys
class Model(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200), self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in ["You ", "said ", body["messages"][-1]["content"] + "."]:
            chunk = {"choices": [{"delta": {"content": word}}]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
        self.wfile.write(b"data: [DONE]\n\n")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()
