"""What a device that has just started has not imported: that which no request has needed yet."""

import subprocess
import sys

PROGRAM = """
import logging, os, signal, sys
from appliance.cli.main import main

class Ready(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("ready: "):
            print(*{name.split(".")[0] for name in sys.modules}, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)

logging.getLogger("appliance.vision.loading").addHandler(Ready())
main(["serve", "--config", sys.argv[1]])
"""

SPARED = {
    "PIL": "PNGs and rare JPEGs",
    "asyncio": "the LAN",
    "gpiozero": "the relay",
    "paho": "MQTT",
    "picamera2": "the camera module",
    "tomlkit": "settings and operating points that are written",
    "unittest": "no request",
    "zeroconf": "the LAN",
}
"""Packages, and what needs them."""


def test_a_device_that_serves_only_this_machine_imports_nothing_for_others(tmp_path):
    config = tmp_path / "appliance.toml"
    config.write_text(
        f'[server]\nport = 0\n[engine]\nengines = 1\n[camera]\ndriver = "none"\n[state]\nfolder = "{tmp_path}/state"\n'
        f'[gallery]\nkey_file = "{tmp_path}/site.key"\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, config], capture_output=True, text=True, timeout=60, check=False
    )
    imported = set(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert {"appliance", "cv2", "numpy"} <= imported
    assert not imported & set(SPARED)
