"""People who are made up, and faces that nobody has."""

from datetime import UTC, datetime

import numpy as np

from appliance.gallery.people import Person, Source, new_reference

MODEL = "ab" * 32


def face(seed):
    """A unit vector, the same for a seed; two of them are nearly orthogonal."""
    vector = np.random.default_rng(seed).normal(size=512)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def gallery_of(gallery, people, templates):
    """Makes people known by their ids; the first one's faces have the seeds 0, 1, …"""
    for number, identity in enumerate(people):
        person = Person(identity, f"Name of {identity}", ("staff",), None, None, new_reference(), datetime.now(UTC))
        gallery.add(person)
        for each in range(templates):
            gallery.enrol(identity, face(number * templates + each), MODEL, 0.75, Source.PHOTO)
