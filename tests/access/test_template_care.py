"""Templates that age: how they fit from day to day, and which decisions add one."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import appliance_models
import pytest
from devices import pool
from situations import spoilt

from appliance.access.enrol import Enrolment
from appliance.access.factors import Given
from appliance.access.identify import Recognition
from appliance.access.policy import ClockState
from appliance.access.templates import MONTH, WAITING, TemplateCare
from appliance.calibration.points import CalibrationStore
from appliance.camera.source import CameraFrame
from appliance.face.types import DetectLimits
from appliance.gallery.gallery import Gallery
from appliance.gallery.people import FIT_DAYS, FIT_DROP, NoSuchPersonError, Person, Source, TooManyError, new_reference
from appliance.gallery.vault import SiteKey
from appliance.vision.loading import comparators
from appliance.vision.quality import Quality

KEY = SiteKey(bytes(range(32)))

DAY = date(2026, 11, 2)


@dataclass
class Handle:
    """The gallery of a device."""

    gallery: Gallery
    ways: object
    published: int = 0

    def recognition(self):
        return Recognition.of(
            self.gallery,
            appliance_models.FOLDER,
            self.ways,
            CalibrationStore(self.gallery._path.with_name("no")),
            0.01,
            0.05,
        )

    def publish(self):
        self.published += 1


@pytest.fixture
def gallery(tmp_path):
    opened = Gallery(tmp_path / "gallery.db", KEY, keep_pictures=True, most_templates=2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def faces(engine, photos):
    """A portrait of each photograph, by both networks."""
    found = {}
    for name, photo in photos.items():
        picture = CameraFrame(photo, 0.0)
        (portrait,) = engine.portray(picture, engine.detect(picture, DetectLimits(count=1)))
        found[name] = replace(portrait, embedding=engine.feature_of_both(portrait.aligned, portrait.embedding))
    return found


@pytest.fixture
def handle(gallery, choice, faces):
    """A gallery that knows Hopper and Collins by a photograph each."""
    ways = comparators(choice)
    for identity in ("hopper", "collins"):
        gallery.add(Person(identity, identity, (), None, None, new_reference(), datetime.now(UTC)))
        portrait = faces["portrait" if identity == "collins" else identity]
        gallery.enrol(identity, portrait.embedding, ways.fast.model, 0.9, Source.PHOTO, strong=ways.strong_model)
    return Handle(gallery, ways)


@pytest.fixture
def care(handle, engine):
    return TemplateCare(handle, pool(engine), refresh=True)


def granted(handle, faces, face="hopper", quality=0.9, later=MONTH, **changes):
    """The facts of a sure decision about Hopper, a month after the enrolment."""
    portrait = faces[face]
    portrait = replace(portrait, embedding=portrait.embedding[:512], quality=Quality(quality, 1, 1, 1, 1))
    person = handle.gallery.person("hopper").person
    changes = {"liveness": 0.95, "person": person, "portrait": portrait, "now": datetime.now(UTC) + later, **changes}
    return spoilt(**changes)


def sources(handle):
    return [template.source.value for template in handle.gallery.person("hopper").templates]


def test_a_sure_decision_adds_a_template_that_can_be_erased_and_the_next_one_waits_a_month(care, handle, faces):
    care.look_at(granted(handle, faces))
    assert sources(handle) == ["photo", "decision"]
    added = handle.gallery.person("hopper").templates[1]
    assert (added.pictured, added.strong) == (True, handle.ways.strong_model)
    assert handle.published == 1
    care.look_at(granted(handle, faces, later=MONTH - timedelta(hours=1)))
    assert handle.gallery.person("hopper").templates[1] == added
    handle.gallery.forget("hopper", added.number)
    assert sources(handle) == ["photo"]


@pytest.mark.parametrize(
    "what",
    [
        {"later": MONTH - timedelta(hours=1)},
        {"quality": 0.79},
        {"liveness": 0.89},
        {"liveness": None},
        {"clock": ClockState.UNSET},
        {"given": Given(duress=True)},
        {"face": "portrait"},  # another person, whatever the decision says
        {"portrait": None},
        {"demonstration": True},
        {"person": None},
    ],
    ids=lambda what: "-".join(what),
)
def test_an_unsure_decision_adds_none(care, handle, faces, what):
    care.look_at(granted(handle, faces, **what))
    assert sources(handle) == ["photo"]


def test_without_the_setting_only_the_fit_is_noted(handle, engine, faces):
    TemplateCare(handle, pool(engine), refresh=False).look_at(granted(handle, faces))
    assert sources(handle) == ["photo"]
    assert handle.gallery.person("hopper").fit.days == 1


def test_decisions_are_looked_at_on_a_thread_until_the_stop(care, handle, faces):
    for _ in range(9):
        care.note(granted(handle, faces))
    care.stop()
    care.run()
    assert sources(handle) == ["photo", "decision"]
    assert (handle.published, handle.gallery.person("hopper").fit.days) == (1, 1)


def test_those_that_wait_are_bounded_and_one_that_fails_ends_nothing(care, handle, faces):
    lost = handle.gallery.person("collins").person
    bad = replace(faces["portrait"], embedding=faces["portrait"].embedding[:512])
    for each in (*[granted(handle, faces, person=lost, portrait=bad)] * (WAITING - 1), *[granted(handle, faces)] * 2):
        care.note(each)
    assert care._decided.qsize() == WAITING
    handle.gallery.erase("collins")
    care.stop()
    care.run()
    assert sources(handle) == ["photo", "decision"]


def test_an_erased_person_gets_no_template_nor_does_another_one_with_the_id(care, handle, faces):
    facts, before = granted(handle, faces), handle.gallery.person("hopper").person
    handle.gallery.erase("hopper")
    care.look_at(facts)
    handle.gallery.add(replace(before, reference=new_reference()))
    care.look_at(facts)
    with pytest.raises(NoSuchPersonError):
        Enrolment().enrol(handle.recognition(), before, faces["hopper"], Source.PHOTO)
    assert sources(handle) == []
    assert handle.gallery.person("hopper").fit is None


def test_added_templates_do_not_vouch_for_others(care, handle, faces):
    care.look_at(granted(handle, faces))
    enrolled = handle.gallery.person("hopper").templates[0]
    handle.gallery.forget("hopper", enrolled.number)
    care.look_at(granted(handle, faces, later=2 * MONTH))
    assert sources(handle) == ["decision"]
    assert (
        handle.gallery.score_by_hand(handle.gallery.person("hopper").person.reference, faces["hopper"].embedding)
        is None
    )


def test_the_oldest_added_template_makes_room_and_an_enrolled_one_never(care, handle, faces):
    care.look_at(granted(handle, faces))
    first = handle.gallery.person("hopper").templates[1]
    care.look_at(granted(handle, faces, later=2 * MONTH))
    assert sources(handle) == ["photo", "decision"]
    assert handle.gallery.person("hopper").templates[1].number > first.number
    handle.gallery.forget("hopper", handle.gallery.person("hopper").templates[1].number)
    enrol = {"model": handle.ways.fast.model, "quality": 0.9, "strong": handle.ways.strong_model}
    handle.gallery.enrol("hopper", faces["hopper"].embedding, source=Source.PHOTO, **enrol)
    for source in Source:
        with pytest.raises(TooManyError):
            handle.gallery.enrol("hopper", faces["hopper"].embedding, source=source, **enrol)
    assert sources(handle) == ["photo", "photo"]


def test_templates_fit_worse_when_the_cosine_falls_and_anew_after_an_enrolment(handle, faces, tmp_path):
    gallery = handle.gallery
    reference = gallery.person("hopper").person.reference
    days = [DAY + timedelta(days=number) for number in range(60)]
    for day in days[:FIT_DAYS]:
        gallery.note_fit(reference, day, 0.7)
        gallery.note_fit(reference, day, 0.1)  # once a day
    for day in days[FIT_DAYS:30]:
        assert not gallery.person("hopper").fit.worse
        gallery.note_fit(reference, day, 0.7 - FIT_DROP / 2)
    for day in days[30:]:
        gallery.note_fit(reference, day, 0.7 - 2 * FIT_DROP)
    fit = gallery.person("hopper").fit
    assert (fit.worse, fit.days, fit.day) == (True, 60, days[-1])
    assert (fit.first, fit.latest) == (pytest.approx(0.7), pytest.approx(0.7 - 2 * FIT_DROP, abs=0.01))
    gallery.close()
    gallery = Gallery(tmp_path / "gallery.db", KEY, most_templates=2)
    assert gallery.person("hopper").fit == fit
    gallery.enrol(
        "hopper", faces["hopper"].embedding, handle.ways.fast.model, 0.9, Source.PHOTO, strong=handle.ways.strong_model
    )
    gallery.note_fit(reference, days[-1] + timedelta(days=1), 0.6)
    assert (gallery.person("hopper").fit.days, gallery.person("hopper").fit.first) == (1, 0.6)
    gallery.erase("hopper")
    with gallery.reading() as (repository, _):
        assert repository._database.row("SELECT COUNT(*) FROM fits") == (0,)
    gallery.close()


def test_a_granted_decision_is_handed_on_with_the_best_portrait(doorstep, photos):
    from doors import FourFrames, heads

    with doorstep(FourFrames(heads(*[photos["hopper"]] * 4))) as door:
        door.know("hopper", photos["hopper"])
        seen = []
        door.decider._granted = seen.append
        assert door.decide().granted
        (facts,) = seen
        door.gallery.erase("hopper")
        assert not door.decide().granted
        assert len(seen) == 1  # nothing of a denial
    portrait = facts.seen.subject.portrait
    assert portrait.embedding.shape == (512,)
    assert portrait.quality.overall >= facts.seen.subject.quality
