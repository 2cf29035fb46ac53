"""Fixtures: the public-domain pictures, and engines and devices made of real parts."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import appliance_models
import pytest

pytest.register_assert_rewrite("client", "devices", "document")

from client import Client  # noqa: E402
from devices import Child, Device, parts_of, pool, shipped_engine  # noqa: E402

from appliance.camera.replay import DEMONSTRATION  # noqa: E402
from appliance.vision import loading  # noqa: E402
from appliance.vision.loading import Choice  # noqa: E402

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


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
