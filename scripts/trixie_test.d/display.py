"""Looks at what systemd/kiosk/start draws, in a compositor that draws into memory: display.py APPLIANCE PICTURE.

APPLIANCE serves the demonstration; PICTURE (PNG) is what was drawn.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

PATIENCE = 120.0
"""Seconds for the picture; a browser starts in ten, on a busy computer in forty."""

GROUND = (11, 16, 19)
"""`--ground` of kiosk.css (RGB), at the corners of the page."""

LETTERING = 200
"""Grey level of the sentence and the buttons at least; beside the live picture nothing else is as light."""

COLOURS = 10_000
"""A photograph has more, a page without one some hundreds."""


def complaint(drawn: npt.NDArray[np.uint8]) -> str:
    """What is wrong with a picture (RGB) of the page, which has the live picture at the left and the sentence at the right."""
    height, width = drawn.shape[:2]
    corners = drawn[[1, 1, height - 2, height - 2], [1, width - 2, 1, width - 2]]
    if np.abs(corners.astype(int) - GROUND).max() > 2:
        return f"the corners are {corners.tolist()}"
    colours = len(np.unique(drawn[:, : width // 2].reshape(-1, 3), axis=0))
    lettering = float((drawn[:, width * 5 // 8 :].min(axis=2) >= LETTERING).mean())
    if colours < COLOURS or not 0.005 < lettering < 0.2:
        return f"{colours} colours at the left, {lettering:.2%} lettering at the right"
    return ""


@contextmanager
def running(command: list[str | Path], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program with its children, which end with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=os.environ | environment, start_new_session=True
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shown(folder: Path, picture: Path) -> str:
    """Takes pictures until one is as it should be; else what is wrong with the last one."""
    last, end = "nothing is drawn", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(2)
        for display in folder.glob("wayland-?"):
            environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "WAYLAND_DISPLAY": display.name}
            done = subprocess.run(["grim", str(picture)], env=environment, capture_output=True, check=False)
            drawn = None if done.returncode else cv2.imread(str(picture))
            if drawn is not None and not (last := complaint(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB))):
                return ""
    return last


def served(port: int) -> str:
    """Waits until the page is served; else why it is not."""
    last, end = "", time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/kiosk", timeout=10).close()
        except OSError as error:
            last = str(error)
            time.sleep(0.3)
        else:
            return ""
    return last


def main() -> int:
    program, picture = sys.argv[1], Path(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kiosk-key").touch()  # requests from the device itself need none
        serve: list[str | Path] = [program, "serve", "--demonstration", "--port", str(port)]
        display = {
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "BROWSER_OPTIONS": "--no-sandbox",  # as root
            "PORT": str(port),
            **dict.fromkeys(("HOME", "XDG_RUNTIME_DIR", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"), name),
        }
        with running(serve, folder / "serve.log", {"STATE_DIRECTORY": name}):
            trouble = served(port)
            if not trouble:
                with running(["systemd/kiosk/start"], folder / "start.log", display):
                    trouble = shown(folder, picture)
        for log in folder.glob("*.log") if trouble else ():
            print(log.read_text("utf-8", "replace")[-3000:])
    print(f"the display at the door: {trouble or 'drawn'}")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
