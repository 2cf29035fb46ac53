"""The TXT record: never too large, and read back from whatever a stranger sends."""

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceInfo

from appliance import lan
from appliance.lan import SERVICE, TEXT_BYTES, Appliance

FINGERPRINT = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"

models = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


FLEET = "f1ee7000f1ee"


def text(model, fingerprint=None, state="loading", fleet=None):
    return lan.text(
        api="1.0",
        sdk="0.1.0",
        device_id="0123456789ab",
        model=model,
        liveness="single",
        auth="none",
        fingerprint=fingerprint,
        fleet=fleet,
        state=state,
    )


def sent(entries):
    """The record as it goes out."""
    return ServiceInfo(SERVICE, f"any.{SERVICE}", properties=entries).text


def found(content, name="any"):
    return Appliance.of(
        ServiceInfo(SERVICE, f"{name}.{SERVICE}", port=1, properties=content, server="any.local."), "eth0"
    )


def test_to_the_letter():
    assert sent(text("Raspberry Pi 5 Model B Rev 1.0", FINGERPRINT, "ready")) == (
        b"\x09txtvers=1\x06path=/\x07api=1.0\x09sdk=0.1.0\x0fid=0123456789ab\x24model=Raspberry Pi 5 Model B Rev 1.0"
        b"\x09lv=single\x09auth=none\x05tls=1\x08st=ready\x2efp=n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg"
    )


def test_a_device_of_a_fleet_announces_its_id():
    assert sent(text("", fleet=FLEET)).endswith(b"\x0ast=loading\x12fleet=f1ee7000f1ee")
    assert "fleet" not in text("")


@given(models, st.sampled_from([None, FINGERPRINT]), st.sampled_from([None, FLEET]))
@PARSER
def test_the_record_is_small_whatever_the_board_calls_itself(model, fingerprint, fleet):
    entries = text(model, fingerprint, fleet=fleet)
    assert len(sent(entries)) <= TEXT_BYTES
    assert model.startswith(entries["model"])
    assert {**entries, "model": ""} == text("", fingerprint, fleet=fleet)


@given(models)
@PARSER
def test_no_more_is_cut_than_must_be(model):
    entries = text(model)
    left = TEXT_BYTES - len(sent(entries))
    cut = model[len(entries["model"]) :]
    assert not cut or left < len(cut[0].encode())


@given(models.filter(str.isprintable))
@PARSER
def test_what_is_announced_is_what_is_found(model):
    entries = text(model)
    assert found(sent(entries)).txt == entries


@given(st.binary(max_size=1300))
@PARSER
def test_any_record_of_a_stranger_is_read_as_printable_text(content):
    told = found(content).txt
    assert all(each.isprintable() for item in told.items() for each in item)


@given(
    st.text(st.characters(exclude_characters=".", exclude_categories=["Cc", "Cs"]), min_size=1).filter(
        lambda name: len(name.encode()) < 64
    )
)
def test_any_name_of_a_stranger_is_printable(name):
    assert found(b"", name).name.isprintable()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", {}),
        (b"\x00", {}),
        (b"\x03=st", {}),
        (b"\x02st", {"st": ""}),
        (b"\x03st=", {"st": ""}),
        (b"\x08st=ready", {"st": "ready"}),
        (b"\x09st=\x1b[31mx\x04st=b", {"st": "�[31mx"}),
        (b"\xffst=short", {"st": "short"}),
    ],
)
def test_odd_records(content, told):
    assert found(content).txt == told
