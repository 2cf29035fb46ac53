"""Settings, and entries to keep."""

from datetime import UTC, datetime

import pytest

from appliance.calibration.points import Basis, LivenessEntry, Measured, SimilarityEntry

FACTS = {"counts": {"people": 3}, "date": datetime(2026, 11, 26, 3, 0, tzinfo=UTC)}


@pytest.fixture
def similarity_entry():
    """The operating point of a model, at a cosine."""

    def entry(threshold=0.4, model="a" * 64):
        fmr = Measured(count=3, total=3000, lower=0.0003, upper=0.003)
        return SimilarityEntry(
            model=model, threshold=threshold, wanted={"fmr": 0.001}, measured={"fmr": fmr}, basis=Basis.PHOTOS, **FACTS
        )

    return entry


@pytest.fixture
def liveness_entry():
    """The same at log odds."""

    def entry(threshold=-1.0, model="b" * 64):
        return LivenessEntry(model=model, threshold=threshold, wanted={}, measured={}, basis=Basis.CAMERA, **FACTS)

    return entry
