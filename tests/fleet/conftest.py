"""A server of NATS for the tests of a fleet."""

import pytest
from replicas import make_buckets
from servers import NatsServer


@pytest.fixture
def server(tmp_path):
    """A server with the buckets of a fleet."""
    with NatsServer(tmp_path / "nats") as running:
        make_buckets(running.url)
        yield running
