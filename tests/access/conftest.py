"""Fixtures: an engine, and two people's photographs."""

import pytest
from devices import shipped_engine
from doors import ANY_CLOCK, Doorstep

from appliance.imaging.codec import EncodedPicture
from appliance.vision.loading import comparators


@pytest.fixture(scope="session")
def engine(choice):
    """An engine of the models that serve here."""
    return shipped_engine(choice)


@pytest.fixture(scope="session")
def photos(portrait, hopper):
    """The photographs' pixels by name."""
    files = {"portrait": portrait, "hopper": hopper}
    return {name: EncodedPicture(content, 10**6).frame(1.0).pixels for name, content in files.items()}


@pytest.fixture
def doorstep(tmp_path, choice, engine):
    """A door before a camera, which decides by some rules; nobody is known to it."""
    ways = comparators(choice)

    def made(camera, rules=ANY_CLOCK, engine=engine, **more):
        return Doorstep(tmp_path, engine, ways, camera, rules, **more)

    return made
