"""Pictures that wait until it is confirmed whose they are."""

import weakref
from datetime import UTC, datetime

import pytest

from appliance.access.enrol import HELD_SECONDS, MOST_HELD, Captures, NoSuchCaptureError, point
from appliance.gallery.people import NoSuchPersonError, Person, Source, TooManyError, new_reference


class Portrait:
    """Of which it can be seen whether it is still in memory."""


def person():
    return Person("x", "Grace Hopper", (), None, None, new_reference(), datetime.now(UTC))


def taken(captures, name, whose):
    with captures.taken(name, whose) as (portrait, source):
        return portrait, source


def test_it_is_taken_once_and_by_its_person_alone():
    captures, grace, eileen, portrait = Captures(), person(), person(), object()
    name = captures.hold(grace, portrait, Source.PHOTO)
    with pytest.raises(NoSuchCaptureError):
        taken(captures, name, eileen)
    assert taken(captures, name, grace) == (portrait, Source.PHOTO)
    with pytest.raises(NoSuchCaptureError):
        taken(captures, name, grace)


def test_after_a_refusal_it_is_still_there():
    captures, grace, portrait = Captures(), person(), object()
    name = captures.hold(grace, portrait, Source.CAMERA)
    with pytest.raises(TooManyError), captures.taken(name, grace):
        raise TooManyError("full")
    assert taken(captures, name, grace) == (portrait, Source.CAMERA)


def test_it_is_held_for_a_time():
    now = [0.0]
    captures, grace = Captures(lambda: now[0]), person()
    early = captures.hold(grace, object(), Source.PHOTO)
    now[0] = HELD_SECONDS - 1
    late = captures.hold(grace, object(), Source.PHOTO)
    now[0] = HELD_SECONDS
    with pytest.raises(NoSuchCaptureError):
        taken(captures, early, grace)
    taken(captures, late, grace)


def test_nothing_of_it_is_left_after_that_time_or_an_erasure():
    now = [0.0]
    captures, grace, eileen = Captures(lambda: now[0]), person(), person()
    portraits = [Portrait(), Portrait()]
    left = [weakref.ref(each) for each in portraits]
    for whose in (grace, eileen):
        captures.hold(whose, portraits.pop(0), Source.PHOTO)
    captures.drop(eileen)
    assert [each() is None for each in left] == [False, True]
    now[0] = HELD_SECONDS
    captures.drop_expired()
    assert left[0]() is None


def test_one_whose_person_is_erased_meanwhile_is_not_kept():
    captures, grace = Captures(), person()
    name = captures.hold(grace, object(), Source.PHOTO)
    with pytest.raises(NoSuchPersonError), captures.taken(name, grace):
        raise NoSuchPersonError("erased")
    with pytest.raises(NoSuchCaptureError):
        taken(captures, name, grace)


def test_the_oldest_makes_room():
    captures, grace = Captures(), person()
    names = [captures.hold(grace, number, Source.PHOTO) for number in range(MOST_HELD + 1)]
    with pytest.raises(NoSuchCaptureError):
        taken(captures, names[0], grace)
    assert [taken(captures, name, grace)[0] for name in names[1:]] == [*range(1, MOST_HELD + 1)]


def test_a_point_is_two_numbers():
    assert point("120,80.5") == (120.0, 80.5)
    for text in ("", "1", "1,", "1;2", "1, 2", "-1,2", "inf,1", "1,2,3", "9" * 50 + ",1"):
        with pytest.raises(ValueError, match="not x,y"):
            point(text)
