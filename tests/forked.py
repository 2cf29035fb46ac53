"""Processes of the program that are forked from one that has imported it already: a second of import less for each."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

PRELOADED = [
    "appliance.cli.main",
    "appliance.machine",
    "appliance.access.decide",
    "appliance.gallery.gallery",
    "appliance.gallery.backup",
    "appliance.lan",
]

CLONE_NEWNET, CLONE_NEWNS, MS_REC, MS_SLAVE, MNT_DETACH = 0x40000000, 0x20000, 0x4000, 0x80000, 2
"""Of setns(2), unshare(2) and mount(2)."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Forked:
    """A command of the program as a process of its own, with the interface of `subprocess.Popen` as far as tests use it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        error: Path | None = None,
        cwd: Path,
        env: Mapping[str, str],
        network: str | None = None,
    ) -> None:
        """Standard output and error go to the files `output` and `error`, both to the first where there is no second. There is
        no standard input. `network` is the name of a network namespace.
        """
        self.args = ["appliance", *arguments]
        files = (output, error or output)
        self._process: BaseProcess = _context.Process(
            target=_run, args=(list(arguments), files, cwd, dict(env), network)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def finished(
    arguments: Sequence[object], *, cwd: Path | None, env: Mapping[str, str], network: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, at most a minute."""
    with tempfile.TemporaryDirectory() as folder:
        output, error = Path(folder) / "output", Path(folder) / "error"
        words = list(map(str, arguments))
        status = Forked(words, output=output, error=error, cwd=cwd or Path.cwd(), env=env, network=network).wait(60)
        said = (file.read_text("utf-8", "surrogateescape") for file in (output, error))
        return subprocess.CompletedProcess(["appliance", *words], status, *said)


def _enter(network: str) -> None:
    """What `ip netns exec` does: into the namespace, with a /sys that shows its interfaces. (Python has it from 3.12 on.)"""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", network).open("rb") as namespace:
        refused = (
            libc.setns(namespace.fileno(), CLONE_NEWNET)
            or libc.unshare(CLONE_NEWNS)
            or libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)
            or libc.umount2(b"/sys", MNT_DETACH)
            or libc.mount(network.encode(), b"/sys", b"sysfs", 0, None)
        )
    if refused:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), network)


def _run(
    arguments: list[str], files: tuple[Path, Path], cwd: Path, env: dict[str, str], network: str | None = None
) -> None:
    """The child's side: what `python -m appliance` would do, in this folder and environment."""
    if network:
        _enter(network)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    os.chdir(cwd)
    for number, file in zip((1, 2), files, strict=True):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.argv = ["appliance", *arguments]
    from appliance.cli.main import main

    sys.exit(main(arguments))
