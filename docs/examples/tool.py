import http.server, json, sys
class Tool(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {"parcel": call["arguments"]["number"], "state": "sent"}
        self.send_response(200), self.end_headers(), self.wfile.write(json.dumps(result).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Tool).serve_forever()
