"""An HTTP server on this machine for tests of downloads; it can misbehave on request."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Server(http.server.ThreadingHTTPServer):
    """Serves `content` under every path; can break connections, refuse, or send something else."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = bytes(range(256)) * 4096
        self.kind = "application/octet-stream"
        self.break_after: list[int] = []  # bytes sent on each of the next connections before they break
        self.status = 200
        self.asked = 0  # requests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked += 1
        if server.status != 200:
            return self.send_error(server.status)
        self.send_response(200)
        self.send_header("Content-Length", str(len(server.content)))
        self.send_header("Content-Type", server.kind)
        self.end_headers()
        rest = server.content
        self.wfile.write(rest[: server.break_after.pop(0)] if server.break_after else rest)
        self.wfile.flush()
        self.close_connection = True
        return None

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that answers until the block ends."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
