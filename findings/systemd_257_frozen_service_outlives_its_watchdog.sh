#!/usr/bin/env bash
# systemd 257, Debian trixie, Linux 6.12; 2026-11-28.
#
# Question: a service has Type=notify, WatchdogSec=3, Restart=always and sends its watchdog message every half second. What happens when its
# process is stopped with SIGSTOP? And when the service is frozen with `systemctl freeze` and forgotten, and then stopped?
# Guess: the stopped process does not react to the watchdog's SIGABRT, so only SIGKILL after TimeoutAbortSec (90 s) ends it. The frozen one
# is killed by the watchdog as well and started anew. `systemctl stop` thaws it and ends it.
# Seen: the other way round. SIGABRT is followed by SIGCONT, so the stopped process ends at once and is restarted. The frozen
# service stays: active, Result=success, no restart; its watchdog does not count while it is frozen. `systemctl stop` and `restart` are
# refused and leave it as it is. So "active" and a watchdog together do not say that a service runs: FreezerState does.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import os
import signal
import subprocess
import time
from pathlib import Path

WATCHDOG = 3
SERVICE = f"""[Service]
Type=notify
ExecStart=/usr/bin/python3 /run/notifying.py
WatchdogSec={WATCHDOG}
Restart=always
RestartSec=0
"""
NOTIFYING = """
import os, socket, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1))
manager.send(b"READY=1")
while True:
    manager.send(b"WATCHDOG=1")
    time.sleep(0.5)
"""


def systemctl(*words: str) -> tuple[int, str]:
    run = subprocess.run(["systemctl", *words], capture_output=True, text=True)
    return run.returncode, (run.stdout + run.stderr).strip()


def state(name: str) -> dict[str, str]:
    wanted = ("MainPID", "ActiveState", "Result", "NRestarts", "FreezerState")
    _, text = systemctl("show", name, *(f"--property={each}" for each in wanted))
    return dict(line.split("=", 1) for line in text.splitlines())


Path("/run/notifying.py").write_text(NOTIFYING)
for name in ("stopped", "frozen"):
    Path(f"/run/systemd/system/{name}.service").write_text(SERVICE)
systemctl("daemon-reload")
systemctl("start", "dbus")
print("start:", systemctl("start", "stopped", "frozen"))

before = state("stopped")
os.kill(int(before["MainPID"]), signal.SIGSTOP)
begin = time.monotonic()
while state("stopped")["NRestarts"] == before["NRestarts"] and time.monotonic() - begin < 80:
    time.sleep(0.5)
lasted = time.monotonic() - begin
print(f"process stopped: restarted after {lasted:.0f} s:", state("stopped"))
assert lasted < 60, lasted

before = state("frozen")
print("freeze:", frozen := systemctl("freeze", "frozen"))
assert frozen[0] == 0
time.sleep(20 * WATCHDOG)
after = state("frozen")
print(f"frozen for {20 * WATCHDOG} s:", after)
assert after == before | {"FreezerState": "frozen"}, before
for verb in ("stop", "restart"):
    status, text = systemctl(verb, "frozen")
    print(f"{verb}: {status} {text}")
    assert status != 0 and "frozen" in text
assert state("frozen") == after
print("thaw:", systemctl("thaw", "frozen"))
time.sleep(1)
print(state("frozen"))
assert state("frozen")["NRestarts"] == before["NRestarts"]
PROGRAM
