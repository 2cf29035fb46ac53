#!/usr/bin/env bash
# bonjour-service 1.3.0 (npm, multicast-dns 7.2.5), what Node.js programs browse with; announced by zeroconf 0.148.0 (PyPI); 2026-11-28.
#
# Question: a Node.js program keeps a browser open (`new Bonjour().find({ type: "faceapi" })`, asked again every two seconds) and uses `browser.services`. A
# device is announced at 10.9.0.1:9000. It loses power, and comes back under the same name at 10.9.0.7, port 9443. What does the program learn?
# Guess: "down" when the records expire or conflict and "up" with the new address, or an event that the service has changed.
# Seen: nothing. There is no event and `services` has the old address and port for good: of a known name only the TXT record is compared. A TXT
# record that differs replaces the whole entry. A device whose power fails never goes "down" either; only a goodbye ends an entry.
# So a device that may move says so in its TXT record (here: a value that changes with each start), or its clients browse anew.
set -euo pipefail
. "$(dirname "$0")/packages"
. "$(dirname "$0")/link"
python3 -m venv "$folder/python"
"$folder/python/bin/pip" -qq --disable-pip-version-check install zeroconf==0.148.0
cat >"$folder/device.py" <<'DEVICE'
# announces a device for three seconds, and loses power: no goodbye
import os, socket, sys, time
from zeroconf import ServiceInfo, Zeroconf

address, port, start = sys.argv[1:]
Zeroconf(interfaces=[address]).register_service(
    ServiceInfo("_faceapi._tcp.local.", "Front door._faceapi._tcp.local.", int(port), addresses=[socket.inet_aton(address)],
                properties={"start": start}, server=f"device-{port}.local.")
)
time.sleep(3)
os._exit(0)
DEVICE
(
    sleep 4
    for device in "10.9.0.1 9000 1" "10.9.0.7 9443 1" "10.9.0.7 9443 2"; do
        # shellcheck disable=SC2086 # three words
        ip netns exec "$space" "$folder/python/bin/python" "$folder/device.py" $device
        sleep 3
    done
) &
in_node_here bonjour-service@1.3.0 <<'PROGRAM'
import assert from "node:assert/strict";
import { Bonjour } from "bonjour-service";

const seen = [];
const browser = new Bonjour().find({ type: "faceapi" });
for (const event of ["up", "down", "txt-update", "srv-update"]) {
  browser.on(event, (service) => seen.push(`${event} ${service.addresses} ${service.port} start ${service.txt.start}`));
}
setInterval(() => browser.update(), 2000);
setTimeout(() => {
  console.log(seen.join("\n"));
  assert.deepEqual(seen, ["up 10.9.0.1 9000 start 1", "txt-update 10.9.0.7 9443 start 2"]);
  process.exit(0);
}, 45000);
PROGRAM
wait
