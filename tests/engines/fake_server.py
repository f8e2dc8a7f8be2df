"""A server on this machine that answers as it is told."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from presrm.types import Checkpoint


class FakeServer(ThreadingHTTPServer):
    """Answers every POST with what `answer(path, body)` gives: (status, JSON or bytes), perhaps with headers behind."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), FakeHandler)
        self.answer = answer
        self.asked = []
        self.keys = set()
        self.longest = 64
        self.names = ["tiny"]
        self.model = Checkpoint(f"http://127.0.0.1:{self.server_port}/v1#tiny")
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class FakeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        self.server.keys.add(self.headers["Authorization"])
        status, answer, *headers = self.server.answer(self.path, body)
        self._give(status, answer, **(headers[0] if headers else {}))

    def do_GET(self):
        models = [{"id": name, "max_model_len": self.server.longest} for name in self.server.names]
        self._give(200, {"data": models})

    def _give(self, status, body, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)
        except OSError:
            pass  # the client gave up

    def log_message(self, *args):
        pass
