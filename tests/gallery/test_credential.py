"""Credentials: bits and parity of the Wiegand formats against published cards, and what is refused."""

import pytest
from examples import PARSER
from hypothesis import given
from hypothesis import strategies as st

from appliance.gallery.credential import FORMATS, Credential, CredentialError, decode, encode

PUBLISHED = {
    # Proxmark3's documentation: `wiegand decode --raw`, without the leading marker of HID Prox
    (123, 4567): 0x2006F623AE,
    (56, 150): 0x200670012D,
    # the worked example of the ESP RFID tool's decoder
    (33, 1337): 0x2004420A73,
}


@pytest.mark.parametrize(("numbers", "raw"), PUBLISHED.items(), ids=str)
def test_26_bits_are_those_of_published_cards(numbers, raw):
    bits = f"{raw & (1 << 26) - 1:026b}"
    assert encode("26", *numbers) == bits
    assert decode("26", bits) == numbers


def test_longer_formats_have_their_parities_where_hid_has_them():
    # 34 bits: E + 16 + 16 + O, each parity over 16 bits; 37 bits: E + 16 + 19 + O, each over 18, the middle one in both
    assert encode("34", 1, 1) == "1" + f"{1:016b}" + f"{1:016b}" + "0"
    assert encode("34", 3, 0) == "0" + f"{3:016b}" + f"{0:016b}" + "1"
    assert encode("37", 0, 1 << 17) == "1" + "0" * 16 + f"{1 << 17:019b}" + "0"
    assert encode("37", 0, 1 << 16) == "0" + "0" * 16 + f"{1 << 16:019b}" + "0"


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@PARSER
def test_what_is_encoded_is_decoded(name, data):
    numbers = tuple(data.draw(st.integers(0, 2**size - 1)) for size in FORMATS[name])
    bits = encode(name, *numbers)
    assert len(bits) == int(name)
    assert decode(name, bits) == numbers
    credential = Credential(name, bits)
    assert Credential.read(credential.document()) == Credential.parse(str(credential)) == credential
    flipped = data.draw(st.integers(0, len(bits) - 1))
    with pytest.raises(CredentialError):
        decode(name, bits[:flipped] + str(1 - int(bits[flipped])) + bits[flipped + 1 :])


@given(st.text("01", min_size=1, max_size=128))
@PARSER
def test_raw_bits_stay_as_they_are_and_are_left_aligned(bits):
    credential = Credential.read({"format": "raw", "bits": bits})
    assert Credential.parse(f"raw:{bits}") == credential
    packed = credential.packed()
    assert len(packed) == (len(bits) + 7) // 8
    assert f"{int.from_bytes(packed, 'big'):0{8 * len(packed)}b}".startswith(bits)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (None, "format: "),
        ("26:1:1", "format: "),
        ({}, "format: "),
        ({"format": 26, "facility": 1, "card": 1}, "format: "),
        ({"format": ["26"], "facility": 1, "card": 1}, "format: "),
        ({"format": "26", "facility": 1}, "format: "),
        ({"format": "26", "facility": 1, "card": 1, "bits": "0"}, "format: "),
        ({"format": "26", "facility": 256, "card": 1}, "facility: 0 to 255"),
        ({"format": "26", "facility": 1, "card": 65536}, "card: 0 to 65535"),
        ({"format": "37", "facility": 1, "card": 524288}, "card: 0 to 524287"),
        ({"format": "26", "facility": -1, "card": 1}, "facility: "),
        ({"format": "26", "facility": True, "card": 1}, "facility: "),
        ({"format": "26", "facility": 1.0, "card": 1}, "facility: "),
        ({"format": "26", "facility": "1", "card": 1}, "facility: "),
        ({"format": "raw"}, "format: "),
        ({"format": "raw", "bits": ""}, "bits: "),
        ({"format": "raw", "bits": "012"}, "bits: "),
        ({"format": "raw", "bits": "1" * 129}, "bits: "),
        ({"format": "raw", "bits": 101}, "bits: "),
    ],
    ids=str,
)
def test_what_is_no_credential_is_refused_with_its_field(document, complaint):
    with pytest.raises(CredentialError, match=f"^{complaint}"):
        Credential.read(document)


@pytest.mark.parametrize(
    "text", ["", "26", "26:1", "26:1:1:1", "26:-1:1", "26:1:65536", "27:1:1", "raw:", "raw:2", "raw"]
)
def test_what_cannot_be_typed_is_refused(text):
    with pytest.raises(CredentialError):
        Credential.parse(text)
