"""People who are made up, and faces that nobody has."""

from datetime import UTC, datetime

import numpy as np

from appliance.gallery.people import Person, Source, new_reference

MODEL = "ab" * 32

OTHER_MODEL = "cd" * 32


def face(seed):
    """A unit vector, the same for a seed; two of them are nearly orthogonal."""
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def somebody(identity, name="Somebody", **said):
    """A person, new each time."""
    words = {"groups": ("staff",), "valid_from": None, "valid_until": None} | said
    return Person(identity, name, reference=new_reference(), created=datetime.now(UTC).replace(microsecond=0), **words)


def enrolled(gallery, identity, *seeds, model=MODEL, picture=None):
    """Adds somebody with these faces; their reference."""
    known = gallery.add(somebody(identity))
    for seed in seeds:
        gallery.enrol(identity, face(seed), model, 0.75, Source.PHOTO, picture)
    return known.person.reference
