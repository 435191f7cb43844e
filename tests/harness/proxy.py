"""A proxy before an S3 server. It fails some requests: by count, not by chance."""

import contextlib
import http.client
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from harness.cluster import HOST

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)

#: what to do with a request: pass it on; answer 503; reset the connection before the request is
#: passed on, after it has been done and before the answer, or amid the answer
PASS, BUSY, RESET, LOST, CUT = "pass", "busy", "reset", "lost", "cut"

#: method and path of a request -> what to do with it
Judge = Callable[[str, str], str]


def fail_every(number: int, *faults: str) -> Judge:
    """Let every ``number``-th request meet one of the faults, in turn."""
    met = itertools.count(1)
    turn = itertools.cycle(faults)
    lock = threading.Lock()

    def judge(_method: str, _path: str) -> str:
        with lock:
            return next(turn) if next(met) % number == 0 else PASS

    return judge


class Proxy(ThreadingHTTPServer):
    """Passes requests on as they are; a signature stays valid, since the Host header does."""

    daemon_threads = True

    def __init__(self, server: str, judge: Judge) -> None:
        super().__init__((HOST, 0), _Handler)
        self.behind = urlsplit(server).netloc
        self.judge = judge
        self.failed = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a client that was killed, or met a reset, is gone."""


@contextlib.contextmanager
def start_proxy(server: str, judge: Judge) -> Iterator[Proxy]:
    """Run a proxy before ``server``."""
    with Proxy(server, judge) as running:
        serving = threading.Thread(target=running.serve_forever, daemon=True)
        serving.start()
        try:
            yield running
        finally:
            running.shutdown()
            serving.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.judge(self.command, unquote(self.path))
        self.server.failed += fault != PASS
        if fault == BUSY:
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        if fault == RESET:
            self._reset()
            return
        behind = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":  # answered here already
                    behind.putheader(name, value)
            behind.endheaders(body)
            answer = behind.getresponse()
            content = answer.read()
        finally:
            behind.close()
        if fault == LOST:
            self._reset()
        elif fault == CUT and len(content) > 1:
            self._head(answer.status, answer.getheaders(), len(content))
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._reset()
        else:
            length = int(answer.getheader("Content-Length") or len(content))
            self._answer(answer.status, answer.getheaders(), content, length)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to log."""

    def _answer(self, status: int, headers: Any, content: bytes, length: int | None = None) -> None:
        self._head(status, headers, len(content) if length is None else length)
        self.wfile.write(content)

    def _head(self, status: int, headers: Any, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _reset(self) -> None:
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)  # closing sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
