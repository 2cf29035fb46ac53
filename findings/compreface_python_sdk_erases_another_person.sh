#!/usr/bin/env bash
# compreface-sdk 0.6.0 (PyPI), the official client of CompreFace, with requests 2.31.0; 2026-11-28.
#
# Question: the subjects "Ann" and "Ann #2" are enrolled. `faces.delete_all("Ann #2")` is called, `subjects.delete("#2 Ann")`, and
# `faces.add(photo, "Lee & Ann")`. What reaches the server?
# Guess: the names, percent-encoded.
# Seen: the photos of "Ann " are erased; DELETE goes to the collection of all subjects, which means every one of them; the photo is enrolled as
# "Lee ". Names are joined to the address as they are: what follows "#" is never sent, "&" begins another parameter.
# Encode names with urllib.parse.quote(name, safe="") before they are given to the package; `subjects.add` alone takes them as they are.
set -euo pipefail
. "$(dirname "$0")/packages"
in_python "compreface-sdk==0.6.0 requests==2.31.0 urllib3==1.26.20" <<'PROGRAM'
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

from compreface import CompreFace

seen = []


class Recorder(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.removeprefix("/api/v1/recognition/").partition("?")
        seen.append((self.command, urllib.parse.unquote(path), dict(urllib.parse.parse_qsl(query))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    do_DELETE = do_POST

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Recorder)
threading.Thread(target=server.serve_forever, daemon=True).start()
service = CompreFace("http://127.0.0.1", str(server.server_port)).init_face_recognition("a-key")
service.get_face_collection().delete_all("Ann #2")
service.get_subjects().delete("#2 Ann")
service.get_face_collection().add(b"a photo", "Lee & Ann")
service.get_face_collection().delete_all(urllib.parse.quote("Ann #2", safe=""))
server.shutdown()
print(*seen, sep="\n")
assert seen == [
    ("DELETE", "faces", {"subject": "Ann "}),
    ("DELETE", "subjects/", {}),
    ("POST", "faces", {"subject": "Lee "}),
    ("DELETE", "faces", {"subject": "Ann #2"}),
]
PROGRAM
