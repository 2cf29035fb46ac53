"""Fixtures: the public-domain pictures, and engines and devices made of real parts. Rules: what runs only at night, which
skips are expected, and that no server logs an error that its test does not expect.
"""

import gc
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.device import ENVIRONMENT

for name, value in ENVIRONMENT.items():
    os.environ.setdefault(
        name, value
    )  # as on a device, and before numpy and OpenCV are loaded: threads would only wait here

pytest.register_assert_rewrite("client", "devices", "document")

import appliance_models  # noqa: E402
import examples  # noqa: E402, F401 (registers hypothesis' profiles)
from client import Client  # noqa: E402
from devices import Child, Device, parts_of, pool, shipped_engine  # noqa: E402
from hypothesis import settings  # noqa: E402

from appliance.camera.replay import DEMONSTRATION  # noqa: E402
from appliance.vision import loading  # noqa: E402
from appliance.vision.loading import Choice  # noqa: E402

DATA = Path(__file__).parent.parent.parent / "shared" / "data"

LONG = (
    "tests/lan/test_announced.py",
    "tests/system/",
    "tests/outputs/test_osdp.py",
    "tests/access",
    "tests/cli",
    "tests/lan",
    "tests/fleet",
    "tests/outputs",
    "tests/api",
    "tests/house",
)
"""Rooms and modules whose tests take longest begin first, so that no core waits for the last one at the end."""

EXPECTED_SKIPS = re.compile(
    r"needs a Raspberry Pi|no development pictures beside the project|no peers here: scripts/peers makes them"
)
"""A test that is skipped for any other reason fails the run."""

ERROR_LINE = re.compile(r"^(?:ERROR|CRITICAL)\b.*|^Traceback .*", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the slow tests, too, and many more examples")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("nightly" if config.getoption("nightly") else "ci")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(UnexpectedSkips(), "unexpected-skips")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spares the garbage collector what is collected, all of which stays: a quarter of the time that takes, and less later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("nightly"):
        slow = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
    workers = int(getattr(config, "workerinput", {}).get("workercount", 1))
    items[:] = [item for share in shares(items, workers) for item in share]


def shares(items: list[pytest.Item], workers: int) -> list[list[pytest.Item]]:
    """The tests of each worker, of equal numbers, because xdist cuts the list so: first those of LONG, dealt module by module,
    then what is left.
    """
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    rank = {
        module: next((n for n, long in enumerate(LONG) if module.startswith(long)), len(LONG)) for module in modules
    }
    order = sorted(modules, key=lambda module: rank[module])
    long = [module for module in order if rank[module] < len(LONG)]
    dealt = [[item for module in long[worker::workers] for item in modules[module]] for worker in range(workers)]
    sizes = [(len(items) + worker) // workers for worker in range(workers)]
    rest = [item for share, size in zip(dealt, sizes, strict=True) for item in share[size:]]
    rest += [item for module in order[len(long) :] for item in modules[module]]
    for share, size in zip(dealt, sizes, strict=True):
        del share[size:]
        wanted = size - len(share)
        share.extend(rest[:wanted])
        del rest[:wanted]
    return dealt


class UnexpectedSkips:
    """Fails a run in which something was skipped without a reason that is on the list."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reason = str(report.longrepr)
        if report.skipped and not hasattr(report, "wasxfail") and not EXPECTED_SKIPS.search(reason):
            self._found.append(f"{report.nodeid}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self._found:
            terminalreporter.write_line(f"UNEXPECTED SKIP {line}", red=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escapes what is not UTF-8, such as a damaged file name in the log: a worker cannot send it."""
    report = yield
    report.sections = [(title, _sendable(text)) for title, text in report.sections]
    if report.failed and _sendable(str(report.longrepr)) != str(report.longrepr):
        report.longrepr = _sendable(str(report.longrepr))
    return report


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether this is the nightly run, in which tests repeat themselves more often."""
    return bool(pytestconfig.getoption("nightly"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The labelled development pictures, which are not part of the project."""
    if not DATA.is_dir():
        pytest.skip("no development pictures beside the project")
    return DATA


@pytest.fixture(scope="session")
def portrait() -> bytes:
    """One person, 512 x 512."""
    return (appliance_models.FOLDER / loading.PORTRAIT).read_bytes()


@pytest.fixture(scope="session")
def hopper() -> bytes:
    """Another person, 512 x 600."""
    return (DEMONSTRATION / "grace_hopper.jpg").read_bytes()


@pytest.fixture(scope="session")
def choice() -> Choice:
    """The models that serve on this device."""
    return loading.first_engine(appliance_models.FOLDER, {}, 1)[0]


@pytest.fixture(scope="session")
def parts(choice: Choice) -> dict[str, Any]:
    """The real parts of an engine, for engines of which one part is another."""
    return parts_of(shipped_engine(choice))


@pytest.fixture(scope="session")
def device(choice: Choice) -> Iterator[Client]:
    """A client of a device in this process."""
    with Device(pool(shipped_engine(choice), shipped_engine(choice))) as running:
        yield running.client


@pytest.fixture(scope="session")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A device as a process of its own, ready."""
    with Child(tmp_path_factory.mktemp("child"), "[engine]\nengines = 2\n") as running:
        running.ready()
        yield running


@pytest.fixture(autouse=True)
def _no_stray_threads() -> Iterator[None]:
    """Fails a test that leaves threads behind."""
    before = set(threading.enumerate())
    yield
    stray = set(threading.enumerate()) - before
    deadline = time.monotonic() + 2
    for thread in stray:
        thread.join(max(0, deadline - time.monotonic()))
    assert not [thread.name for thread in stray if thread.is_alive()]


class _Errors(logging.Handler):
    """Keeps what the program logs as an error in this process."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"ERROR {record.name}: {record.getMessage()}")


@pytest.fixture(autouse=True)
def _no_unexpected_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test during which a server logged an error or a traceback, unless `logs_errors(PATTERN)` expects each of them."""
    handler, logger = _Errors(), logging.getLogger("appliance")
    Child.new_log()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    lines = [*handler.lines, *ERROR_LINE.findall(Child.new_log())]
    marker = request.node.get_closest_marker("logs_errors")
    unexpected = [line for line in lines if marker is None or not re.search(marker.args[0], line)]
    assert not unexpected, unexpected


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Commands that a test starts are ended by SIGHUP and SIGINT, though a run under nohup or in the background ignores those
    and they would inherit that.
    """
    before = [
        (signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL)),
        (signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler)),
    ]
    yield
    for number, handler in before:
        signal.signal(number, handler)
