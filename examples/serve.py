"""Classify pictures over HTTP: `python examples/serve.py runs/last`, then

    curl -T cat.jpg http://127.0.0.1:8000

The network is loaded once; every request has a thread of its own. The answer is JSON: 200 for a picture, 400 without a
byte, 405 for GET, 413 for too many bytes, 415 for a form, 422 for what is no picture or has too many pixels. The server
goes on after each of them.
"""

import argparse
import contextlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import resnetctl as rc
from resnetctl.errors import ResnetctlError

LARGEST = 20_000_000  # bytes of a picture
DROPPED = 1_000_000_000  # bytes of a larger one that are read and forgotten, so that its client sees the answer
MOST_PIXELS = 50_000_000  # a small file may hold a huge picture
SECONDS = 30  # that a client may be silent
TOP = 3  # classes in an answer


def server(predictor: rc.Predictor, *, port: int) -> ThreadingHTTPServer:
    """Return a server on this machine; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_PUT(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdecimal() and int(length)):
                self.answer(400, {"problem": "send the bytes of one picture"})
            elif self.headers.get_content_maintype() == "multipart":
                self.answer(415, {"problem": "send the bytes of one picture, not a form, e.g. curl -T cat.jpg ADDRESS"})
                self.drop(min(int(length), DROPPED))
            elif int(length) > LARGEST:
                self.answer(413, {"problem": f"send one picture of at most {LARGEST:,} bytes"})
                self.drop(min(int(length), DROPPED))
            else:
                (result,) = predictor(self.rfile.read(int(length)), top=TOP)
                self.answer(200 if result["problem"] is None else 422, dict(result))

        do_POST = do_PUT

        def do_GET(self) -> None:
            """Answer a browser that opens the address."""
            self.answer(405, {"problem": "send the bytes of one picture with PUT, e.g. curl -T cat.jpg ADDRESS"})

        def answer(self, status: int, document: dict[str, object]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def drop(self, length: int) -> None:
            """Read what a client still sends: many read no answer before the last byte is sent."""
            with contextlib.suppress(OSError):  # it went away, or is silent
                while length > 0 and (part := self.rfile.read(min(length, 65536))):
                    length -= len(part)

        def log_message(self, format: str, *args: object) -> None:
            """Write no line for each request."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", help="run, weights or ONNX file (default: the newest run)")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    try:
        predictor = rc.Predictor(options.target, top=TOP, max_pixels=MOST_PIXELS)  # refuses what is no classifier
        serving = server(predictor, port=options.port)
    except ResnetctlError as error:
        print(f"error: {error.shell_line()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (OSError, OverflowError) as error:
        print(f"error: port {options.port}: {error}; choose another one with --port", file=sys.stderr)
        sys.exit(1)
    with serving, contextlib.suppress(KeyboardInterrupt):
        print(f"{predictor} answers at http://127.0.0.1:{serving.server_port}")
        serving.serve_forever()


if __name__ == "__main__":
    main()
