#!/usr/bin/env bash
# opencv-python-headless 4.11.0.86, Debian trixie, Linux 6.12, the kernel's test camera (vivid); 2026-11-28.
#
# Question: a V4L2 camera offers 24-bit BGR ("BGR3") among other formats, as virtual cameras and some capture boards do.
# What does `cv2.VideoCapture(0).read()` give, with nothing set?
# Guess: an array of height x width x 3: BGR is OpenCV's own order, so this is the simplest case there is.
# Seen: an array of 1 x (height * width * 3), with True. OpenCV prefers BGR3 to all other formats, so it happens by default, whatever size is set, and
# CAP_PROP_CONVERT_RGB is 1 all the same. A camera whose format needs a conversion (YUYV) gives the right shape. 4.10 and 4.12 do as guessed.
# The same row comes with some fifty other formats that OpenCV cannot convert: `set` of such a FOURCC returns True.
set -euo pipefail
. "$(dirname "$0")/machine"
run_in_machine <<'PROGRAM'
import subprocess

import cv2


def read(fourcc: str | None = None, size: tuple[int, int] | None = None) -> tuple[int, ...]:
    capture = cv2.VideoCapture(0, cv2.CAP_V4L2)
    accepted = capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc)) if fourcc else None
    if size:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    ok, frame = capture.read()
    given = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()
    print(f"asked for {fourcc}, {size}: set {accepted}, {given}, convert {capture.get(cv2.CAP_PROP_CONVERT_RGB):g}, read {ok} {frame.shape}")
    capture.release()
    return frame.shape


print("OpenCV", cv2.__version__)
print(subprocess.run(["v4l2-ctl", "--info"], capture_output=True, text=True).stdout.splitlines()[1].strip())
assert read() == (1, 480 * 640 * 3)
assert read(size=(1280, 720)) == (1, 720 * 1280 * 3)
assert read("BGR3") == (1, 480 * 640 * 3)
assert read("YUYV") == (480, 640, 3)
assert read("RGB3") == (480, 640, 3)
assert read("NV16") == (1, 480 * 640 * 2)
PROGRAM
