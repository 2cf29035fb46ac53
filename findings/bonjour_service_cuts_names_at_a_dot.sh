#!/usr/bin/env bash
# bonjour-service 1.3.0 (npm, dns-packet 5), what Node.js programs browse with; announced by zeroconf 0.148.0 (PyPI); 2026-11-28.
#
# Question: two doors announce themselves as "Door 2.1" and "Door 2.2" (a dot in an instance name is valid, RFC 6763 section 4.1.1). What are `name` and
# `type` of the services that a Node.js program finds?
# Guess: "Door 2.1" and "Door 2.2", both of type "faceapi".
# Seen: "Door 2" twice, of types "1" and "2": the parser gives a name as one string in which a dot of the label looks like the dots between labels, and the
# first part is taken. `fqdn` has it whole. Choose names without a dot, or tell the doors apart by `fqdn`.
set -euo pipefail
. "$(dirname "$0")/packages"
. "$(dirname "$0")/link"
python3 -m venv "$folder/python"
"$folder/python/bin/pip" -qq --disable-pip-version-check install zeroconf==0.148.0
cat >"$folder/doors.py" <<'DOORS'
import socket, time
from zeroconf import ServiceInfo, Zeroconf

device = Zeroconf(interfaces=["10.9.0.1"])
for name in ("Door 2.1", "Door 2.2"):
    device.register_service(
        ServiceInfo("_faceapi._tcp.local.", f"{name}._faceapi._tcp.local.", 9000, addresses=[socket.inet_aton("10.9.0.1")], server="device.local.")
    )
time.sleep(60)
DOORS
ip netns exec "$space" timeout 60 "$folder/python/bin/python" "$folder/doors.py" &
in_node_here bonjour-service@1.3.0 <<'PROGRAM'
import assert from "node:assert/strict";
import { Bonjour } from "bonjour-service";

const browser = new Bonjour().find({ type: "faceapi" });
setInterval(() => browser.update(), 2000);
setTimeout(() => {
  const found = browser.services.map(({ name, type, fqdn }) => ({ name, type, fqdn })).sort((a, b) => a.fqdn.localeCompare(b.fqdn));
  console.log(found);
  assert.deepEqual(found, [
    { name: "Door 2", type: "1", fqdn: "Door 2.1._faceapi._tcp.local" },
    { name: "Door 2", type: "2", fqdn: "Door 2.2._faceapi._tcp.local" },
  ]);
  process.exit(0);
}, 20000);
PROGRAM
kill %1
