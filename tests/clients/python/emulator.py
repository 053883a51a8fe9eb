"""An emulator in a process of its own, and its control API.

HUBLAKE names the program; HUBLAKE_RECORD, if set, the file to which it adds
every exchange.
"""

import http.server
import http.client
import json
import os
import signal
import subprocess
import threading
import urllib.request


class Emulator:
    def __init__(self, *options):
        record = os.environ.get("HUBLAKE_RECORD")
        recording = ["--record", record] if record else []
        command = [os.environ["HUBLAKE"], "emulator", "--port", "0", *options, *recording]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        assert line.startswith("listening on http://"), f"the emulator said: {line}"
        self.url = line.removeprefix("listening on ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # As Ctrl-C does: it writes what it has recorded before it stops.
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) in (0, 130)

    def control(self, path, body=None, method=None):
        request = urllib.request.Request(
            f"{self.url}/_emulator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method or ("GET" if body is None else "POST"),
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def redirect(self, path):
        """Where a page sends a browser."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 302, answer.status
        return answer.headers["Location"]

    def fault(self, path, **fault):
        self.control("faults", {"path": path, **fault})

    def counts(self):
        """How many calls each endpoint answered, by status."""
        return self.control("log?since=0")["counts"]


class Receiver:
    """Takes webhooks and keeps them: path, headers, body."""

    def __init__(self):
        kept = self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                kept.append((self.path, self.headers, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
