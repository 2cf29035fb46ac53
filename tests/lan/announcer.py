"""Announces NAME HOST PORT BOUND… until standard input ends; each line of it is the new state, and the fleet."""

import logging
import sys
import threading

from appliance import lan
from appliance.lan import Advertisement

name, host, port, *bound = sys.argv[1:]
told = {"state": "loading", "fleet": None}
logging.basicConfig(level="INFO", format="%(levelname)s %(name)s: %(message)s")
advertisement = Advertisement(
    name,
    host,
    bound,
    int(port),
    lambda: lan.text(
        api="1.0",
        sdk="0.1.0",
        device_id="0123456789ab",
        model="test",
        liveness="multi",
        auth="none",
        fingerprint=None,
        **told,
    ),
)
running = threading.Thread(target=advertisement.run)
running.start()
for line in sys.stdin:
    told["state"], told["fleet"] = [*line.split(), None][:2]
advertisement.stop()
running.join()
print("ended", threading.active_count(), file=sys.stderr)
