"""A proxy before a tracking server that passes requests on and loses some of the answers."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class CuttingProxy(ThreadingHTTPServer):
    """Passes requests on to ``target``.

    The answers to the next ``cuts[path]`` requests whose path ends so are lost: the connection is
    closed instead. ``seen`` lists the paths of all requests.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.cuts: dict[str, int] = {}
        self.seen: list[str] = []
        self.guard = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cuts_off(self, path: str) -> bool:
        """Whether the answer to this request is lost."""
        with self.guard:
            self.seen.append(path)
            for ending, left in self.cuts.items():
                if path.endswith(ending) and left > 0:
                    self.cuts[ending] = left - 1
                    return True
        return False


class _Handler(BaseHTTPRequestHandler):
    server: CuttingProxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        target = self.server.target
        connection = http.client.HTTPConnection(target.hostname or "", target.port)
        headers = {name: value for name, value in self.headers.items() if name != "Host"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if self.server.cuts_off(urlsplit(self.path).path):
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextmanager
def proxy(target: str) -> Iterator[CuttingProxy]:
    """A proxy before the server at ``target``."""
    server = CuttingProxy(target)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
