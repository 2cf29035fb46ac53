#!/usr/bin/env bash
# compreface-sdk 0.6.0 (PyPI), the official client of CompreFace, with requests 2.31.0; 2026-11-28.
#
# Question: `CompreFace(domain, port, {"det_prob_threshold": 0.9})`; then `service.recognize(photo)` and `service.get_face_collection().add(photo, "Ann")`,
# both without options of their own. Which of them is sent with the default?
# Guess: both: the collection is made with the default too, and `det_prob_threshold` is an option of its `add`.
# Seen: `recognize` alone. `add` and the collection's `verify` look for defaults in the empty options of the call, not in their own, so photos are
# enrolled with the server's threshold, and what no query would find is enrolled. Pass the options to each call of `add`.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "compreface-sdk==0.6.0 requests==2.31.0 urllib3==1.26.20" <<'PROGRAM'
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from compreface import CompreFace

seen = []


class Recorder(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path.removeprefix("/api/v1/recognition/"))
        seen.append((url.path, dict(parse_qsl(url.query))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Recorder)
threading.Thread(target=server.serve_forever, daemon=True).start()
service = CompreFace("http://127.0.0.1", str(server.server_port), {"det_prob_threshold": 0.9}).init_face_recognition("a-key")
faces = service.get_face_collection()
service.recognize(b"a photo")
faces.add(b"a photo", "Ann")
faces.verify(b"a photo", "an-id")
faces.add(b"a photo", "Ann", {"det_prob_threshold": 0.9})
server.shutdown()
print(*seen, sep="\n")
assert seen == [
    ("recognize", {"det_prob_threshold": "0.9"}),
    ("faces", {"subject": "Ann"}),
    ("faces/an-id/verify", {}),
    ("faces", {"subject": "Ann", "det_prob_threshold": "0.9"}),
]
PROGRAM
