"""Small disks of their own, which can be filled, made read-only or break; only root can make them."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

HOW = "needs root and mount(8): run the tests by `sudo`, or in a container with CAP_SYS_ADMIN"


@contextmanager
def ram_disk(folder, size):
    """A tmpfs of so many bytes."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def breaking_disk(folder):
    """An ext4 of 16 MiB, and an act that makes it find an error, after which the kernel lets nobody write."""
    if not shutil.which("mkfs.ext4"):
        pytest.skip("needs mkfs.ext4: sudo apt install e2fsprogs")
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    folder.mkdir()
    _mount("-o", "loop,errors=remount-ro", image, folder)
    try:
        device = Path(subprocess.check_output(["findmnt", "-no", "SOURCE", folder], text=True).strip())
        trigger = Path("/sys/fs/ext4") / device.name / "trigger_fs_error"
        yield folder, lambda: trigger.write_text("a test")
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder, how):
    """Makes a disk "ro" or "rw"; nothing may be open for writing in it."""
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def _mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if os.geteuid() != 0 or done.returncode:
        pytest.skip(f"{HOW} ({done.stderr.strip()})")
