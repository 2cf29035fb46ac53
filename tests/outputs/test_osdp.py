"""The OSDP reader with a real panel on a line of two pseudo-terminals."""

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import osdp as libosdp
import pytest
from devices import until
from panels import Line, Panel, panel
from test_osdp_line import frame
from told import running, signed

from appliance.access.log import Record
from appliance.events import DoorState, PanelLight, PanelSound, PanelText
from appliance.gallery.credential import Credential, encode
from appliance.gallery.people import NoKeyError, Person
from appliance.gallery.vault import SiteKey
from appliance.outputs.cards import NOT_DELIVERED
from appliance.outputs.osdp import Reader
from appliance.outputs.osdp_key import KEY_FILE, REQUEST_FILE, PanelKey, request_pairing
from appliance.outputs.osdp_link import Framer, Status
from appliance.outputs.osdp_session import ReaderSession

CREDENTIAL = Credential.parse("26:17:4711")
PERSON = Person("x", "X", (), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC), CREDENTIAL)


def site_key() -> SiteKey:
    return SiteKey(b"k" * 32)


class Desk:
    """A reader's surroundings: its state folder, its line, and what it publishes."""

    def __init__(self, folder: Path, line: Line) -> None:
        self.folder, self.line, self.events = folder, line, []
        self.record = Record(folder / "decisions.db")

    def reader(self, **changes: Any) -> Reader:
        settings = {
            "port": self.line.reader, "baud": 115200, "address": 1, "format": "wiegand", "secure": True, "serial": 7,
            "key": PanelKey(self.folder, site_key), "person": lambda _: PERSON, "record": self.record,
            "publish": self.events.append,
        }  # fmt: skip
        return Reader(**settings | changes)

    def lost(self) -> list[dict[str, Any]]:
        return [dict(entry.facts) for entry in reversed(self.record.newest(10_000, NOT_DELIVERED))]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    gc.collect()  # or files of tests before this one are closed meanwhile
    threads, files = threading.active_count(), open_files()
    with Line() as line:
        yield Desk(tmp_path, line)
    assert threading.active_count() == threads
    assert open_files() <= files


def state(reader: Reader) -> str | None:
    problem = reader.problem()
    return problem and problem.state


def secured(reader: Reader) -> bool:
    return until(lambda: time.monotonic() - reader._secured < 1, 15)


@contextmanager
def paired(desk: Desk, reader: Reader, **words: Any) -> Iterator[Panel]:
    """A panel that has set its key in the reader."""
    request_pairing(desk.folder, 1)
    assert until(lambda: state(reader) == "pairing", 10)
    with panel(desk.line, **words) as found:
        assert secured(reader)
        assert state(reader) is None
        yield found


def test_a_grant_sends_the_credential_bit_for_bit(desk):
    with running(desk.reader()) as reader, paired(desk, reader) as panel_:
        reader.notify(signed())
        assert panel_.comes("card")
        (card,) = panel_.all("card")
        assert (card["bits"], card["data"], card["format"]) == (26, CREDENTIAL.packed().hex(), 1)
        reader.notify(signed(granted=False))
        assert until(lambda: reader.counts().delivered == 1, 5)
        time.sleep(0.5)
        assert len(panel_.all("card")) == 1
    assert desk.lost() == []


def test_people_without_a_credential_are_not_sent(desk):
    nobody = Person("x", "X", (), None, None, "0123456789abcdef", datetime(2026, 1, 1, tzinfo=UTC))
    for person in (None, nobody):
        with running(desk.reader(person=lambda _, person=person: person)) as reader:
            reader.notify(signed())
            assert reader.counts().waiting == 0


def test_a_panel_in_clear_gets_nothing(desk):
    with running(desk.reader()) as reader, panel(desk.line, secure=False) as panel_:
        assert panel_.comes("nak", 3, code=6)
        decision = signed()
        reader.notify(decision)
        assert until(lambda: reader.counts().dropped == 1, 5)
        assert panel_.all("card") == []
    assert desk.lost() == [{"decision": decision.decision.id, "person": PERSON.reference, "reason": "offline"}]


def test_clear_is_allowed_by_the_setting_alone(desk):
    with running(desk.reader(secure=False)) as reader, panel(desk.line, secure=False) as panel_:
        assert panel_.comes("reply", 3, type="Ack")
        reader.notify(signed())
        assert panel_.comes("card")


def test_the_key_of_the_panel_is_kept_sealed_and_used_after_a_restart(desk):
    with running(desk.reader()) as reader, paired(desk, reader):
        assert not (desk.folder / REQUEST_FILE).exists()
    kept = (desk.folder / KEY_FILE).read_bytes()
    assert PanelKey(desk.folder, site_key).read() not in kept
    with running(desk.reader()) as reader, panel(desk.line) as panel_:
        assert secured(reader)
        reader.notify(signed())
        assert panel_.comes("card")
    assert (desk.folder / KEY_FILE).read_bytes() == kept


def test_pairing_is_open_once(desk):
    with running(desk.reader()) as reader, paired(desk, reader):
        pass
    with running(desk.reader()) as reader, panel(desk.line, key="ff" * 16) as panel_:  # a panel with another key
        assert until(lambda: reader._challenged > 0, 10)
        assert not until(lambda: reader._secured > 0, 2)
        reader.notify(signed())
        assert until(lambda: reader.counts().dropped == 1, 5)
        assert panel_.all("card") == []


def test_a_request_to_pair_that_was_not_seen_in_time_is_void(desk):
    request_pairing(desk.folder, 0.001)
    time.sleep(0.1)
    with running(desk.reader()) as reader:
        assert until(lambda: not (desk.folder / REQUEST_FILE).exists(), 5)
        assert state(reader) is None


def test_the_panel_speaks_through_the_reader_and_asks_for_its_state(desk):
    with running(desk.reader()) as reader, paired(desk, reader) as panel_:
        for order in ("light", "sound", "text"):
            panel_.order(order)
        assert until(lambda: len(desk.events) == 3, 10)
        assert desk.events == [
            PanelLight(("green", "off"), (0.5, 0.5), 3.0),
            PanelSound((pytest.approx(0.2), pytest.approx(0.1)), 3),
            PanelText("Welcome", 5.0),
        ]
        assert panel_.ask("inputs") == [False, False]
        assert panel_.ask("outputs") == [False]
        assert panel_.ask("local")[:2] == ["Tamper:", "False"]
        reader.reflect(DoorState(open=True, forced=False, held=False, tamper=True, fire=False, relay=True))
        assert (panel_.ask("inputs"), panel_.ask("outputs")) == ([True, False], [True])
        assert panel_.ask("local")[:2] == ["Tamper:", "True"]


def comes(reader: Reader, state_: str) -> bool:
    return until(lambda: state(reader) == state_, 10)


def test_what_is_wrong_with_the_line_is_reported(desk):
    with running(desk.reader(silent_s=0.5)) as reader:
        assert comes(reader, "offline")
        for _ in range(20):
            desk.line.say(b"\x00\xffS")
            time.sleep(0.05)
        assert state(reader) == "garbled"
        with panel(desk.line, secure=False) as panel_:
            assert comes(reader, "not_paired")
            PanelKey(desk.folder, site_key).keep(b"k" * 16)
            request_pairing(desk.folder, 0.05)  # its end reads the key anew
            assert comes(reader, "clear")
            assert panel_.all("card") == []
        with panel(desk.line, key="ff" * 16):
            assert comes(reader, "wrong_key")
        assert comes(reader, "offline")


@pytest.mark.logs_errors("absent|the site key is missing")
def test_a_port_or_a_key_that_is_missing_is_reported_and_tried_again(desk):
    with running(desk.reader(port=desk.folder / "absent")) as reader:
        assert comes(reader, "no_port")
        reader.notify(signed())
        assert until(lambda: reader.counts().dropped == 1, 5)

    there: list[SiteKey] = []

    def late_key() -> SiteKey:
        if not there:
            raise NoKeyError("the site key is missing")
        return there[0]

    (desk.folder / KEY_FILE).touch()
    with running(desk.reader(key=PanelKey(desk.folder, late_key), silent_s=0.5)) as reader:
        assert comes(reader, "key_unavailable")
        (desk.folder / KEY_FILE).unlink()
        there.append(site_key())
        assert comes(reader, "offline")


@pytest.mark.logs_errors("osdp.key is damaged")
def test_a_damaged_key_is_reported_when_pairing_opens_and_can_be_replaced(desk):
    with running(desk.reader(silent_s=0.5)) as reader, paired(desk, reader):
        (desk.folder / KEY_FILE).write_bytes(b"damaged")
        request_pairing(desk.folder, 1)
        assert comes(reader, "key_unavailable")
        (desk.folder / KEY_FILE).unlink()
        assert comes(reader, "pairing")


def clear_session(publish: Callable[[object], None]) -> ReaderSession:
    return ReaderSession(
        1, b"k" * 16, 7, secure=False, pairing=False, keep_key=lambda _: True, publish=publish, status=Status
    )


def test_a_card_that_a_command_does_not_take_is_not_left_in_the_library(desk):
    """So no length of silence can bring it back: libosdp itself would hand it to the first poll, hours later as well."""
    session = clear_session(desk.events.append)

    def answered(sequence: int, code: int, card: Credential | None = None) -> tuple[int, bool]:
        (command,) = Framer(1).feed(frame(sequence=sequence, code=code, data=b"\0" if code == 0x61 else b""))
        reply, sent = session.answer(command, card)
        return reply[5], sent

    assert answered(0, 0x60) == (0x40, False)
    assert answered(1, 0x61, CREDENTIAL) == (0x45, False)  # the panel asks who is there
    assert answered(3, 0x60, CREDENTIAL) == (0x41, False)  # out of sequence
    assert [answered(sequence, 0x60) for sequence in (0, 1, 2, 3, 1)] == [(0x40, False)] * 5
    assert answered(2, 0x60, CREDENTIAL) == (0x50, True)
    assert answered(3, 0x60) == (0x40, False)


def test_every_command_is_answered_or_refused():
    events: list[object] = []
    session = clear_session(events.append)

    def answer(code: int, data: bytes) -> int | None:
        (start,) = Framer(1).feed(frame(sequence=0))
        (command,) = Framer(1).feed(frame(sequence=1, code=code, data=data))
        assert session.answer(start)[0][5] == 0x40
        reply, _ = session.answer(command)
        return reply[5] if reply else None

    for code in range(0x60, 0xA4):
        for size in (0, 1, 5, 6, 14, 18, 40):
            assert code == 0x7C or answer(code, bytes([5] * size)) is not None  # a file transfer of nothing is ignored
    words = "Grüße".encode("latin-1")
    assert (
        answer(0x6B, bytes([0, 4, 5, 1, 1, len(words)]) + words) == 0x41
    )  # not UTF-8: refused, and no end of the line
    assert answer(0x6B, bytes([0, 1, 0, 1, 1, 2]) + b"Hi") == 0x40
    assert events[-1] == PanelText("Hi", None)


def test_a_card_whose_reply_is_lost_comes_with_the_next_one(desk):
    with running(desk.reader()) as reader, paired(desk, reader) as panel_:
        desk.line.swallow_next = 1
        reader.notify(signed())
        assert panel_.comes("card")
        assert until(lambda: reader.counts().delivered == 1, 5)
        assert len(panel_.all("card")) == 1


def test_nothing_waits_for_a_line_that_comes_back(desk):
    with running(desk.reader()) as reader, paired(desk, reader) as panel_:
        desk.line.cut = True
        decisions = [signed() for _ in range(5)]
        for decision in decisions:
            reader.notify(decision)
        assert until(lambda: reader.counts().dropped == 5, 10)
        desk.line.cut = False
        assert panel_.comes("reply", len(panel_.all("reply")) + 10)
        assert panel_.all("card") == []
    assert [each["decision"] for each in desk.lost()] == [decision.decision.id for decision in decisions]


@pytest.mark.parametrize(("polls", "seed"), [(250, 1), pytest.param(10_000, 2, marks=pytest.mark.nightly)])
@pytest.mark.timeout(1800)
def test_on_a_bad_line_no_card_comes_twice_or_late_and_each_lost_one_is_recorded(desk, polls, seed):
    desk.line._random.seed(seed)
    numbers = iter(range(1, 65_536))
    cards: list[Credential] = []

    def person(_: str) -> Person:
        cards.append(Credential("34", encode("34", 1, next(numbers))))
        return replace(PERSON, credential=cards[-1])

    with running(desk.reader(person=person)) as reader, paired(desk, reader, pace=0.005) as panel_:
        granted: dict[str, tuple[str, float]] = {}
        desk.line.flips, desk.line.swallows = 0.01, 0.02
        begun, cuts = desk.line.polls, iter(range(100, polls, 700))
        cut = next(cuts)
        while (done := desk.line.polls - begun) < polls:
            if done > cut:  # for three seconds: after eight this panel would have to be restarted, which ignores NAK 6
                desk.line.cut, cut = True, next(cuts, polls)
            decision, at = signed(), time.time()
            reader.notify(decision)
            granted[cards[-1].packed().hex()] = (decision.decision.id, at)
            until(lambda done=done: not desk.line.cut and desk.line.polls - begun > done + 20, 3)
            desk.line.cut = False
        desk.line.flips = desk.line.swallows = 0.0
        assert until(lambda: reader.counts().delivered + reader.counts().dropped == len(granted), 30)
        time.sleep(0.5)
        taken = panel_.all("card")
    received = [card["data"] for card in taken]
    assert len(set(received)) == len(received)
    assert all(card["at"] - granted[card["data"]][1] < 2.1 for card in taken)
    lost = desk.lost()
    recorded = {each["decision"] for each in lost}
    missing = {decision for data, (decision, _) in granted.items() if data not in received}
    assert missing <= recorded
    certain = {each["decision"] for each in lost if each["reason"] != "unconfirmed"}
    assert certain <= missing
    assert len(received) > len(granted) / 3


def test_commands_of_the_panel_cost_no_memory():
    session = clear_session(lambda _: None)
    for command in Framer(1).feed(frame(sequence=0)):
        session.answer(command)
    states, light = (0x64, b""), (0x69, bytes([0, 0, 2, 5, 5, 2, 0, 30, 0, 0, 0, 0, 0, 0]))

    def ask(count: int) -> int:
        """Returns how many more blocks of memory are in use afterwards than before."""
        gc.collect()
        before = sys.getallocatedblocks()
        for number in range(count):
            code, data = (states, light)[number % 2]
            (command,) = Framer(1).feed(frame(sequence=number % 3 + 1, code=code, data=data))
            reply, _ = session.answer(command)
            assert reply[5] in (0x48, 0x40)
        gc.collect()
        return sys.getallocatedblocks() - before

    ask(99)
    assert ask(3000) < 300  # libosdp alone: 3000


class PanelPort(libosdp.Channel):
    """The panel's end of the line, as libosdp reads it."""

    def __init__(self, port: Path) -> None:
        super().__init__()
        self.file = os.open(port, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)

    def read(self, most: int) -> bytes:
        try:
            return os.read(self.file, most)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> int:
        return os.write(self.file, data)

    def flush(self) -> None:
        pass


def test_a_panel_of_libosdp_stays_online_when_replies_are_lost(desk):
    """Such a panel is offline for 300 s after a lost reply whose command is answered anew instead of again."""
    key, cards = b"0123456789abcdef", []
    PanelKey(desk.folder, site_key).keep(key)
    port = PanelPort(desk.line.panel)
    information = libosdp.PDInfo(1, port, scbk=key, flags=[libosdp.LibFlag.EnforceSecure])

    def taken(_: int, event: dict[str, Any]) -> int:
        cards.append(event["data"])
        return 0

    panel_ = libosdp.ControlPanel([information], log_level=libosdp.LogLevel.Error, event_handler=taken)
    with running(desk.reader()) as reader:
        panel_.start()
        try:
            assert until(lambda: panel_.is_sc_active(1), 20)
            for count in range(1, 4):
                desk.line.swallow_next = 1
                reader.notify(signed())
                assert until(lambda count=count: reader.counts().delivered == count, 5)
                assert panel_.is_sc_active(1)
        finally:
            panel_.teardown()
            os.close(port.file)
    assert cards == [CREDENTIAL.packed()] * 3
    assert desk.lost() == []
