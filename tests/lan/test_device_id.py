"""The device's id: the same at every start, another on another board, and nothing can be told from it."""

import base64
import hashlib
import re
import ssl

import pytest

from appliance import identity

MACHINE_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def machine(tmp_path):
    """A machine id and a board's description, as files."""
    machine_id, tree = tmp_path / "machine-id", tmp_path / "tree"
    tree.mkdir()

    def described(installation=f"{MACHINE_ID}\n", serial="10000000abcdef01\0", model=None):
        machine_id.write_text(installation)
        for name, content in (("serial-number", serial), ("model", model)):
            if content is not None:
                (tree / name).write_text(content)
        return tmp_path / "state", machine_id, tree

    return described


def test_it_stays(machine):
    ids = {identity.device_id(*machine()) for _ in range(3)}
    assert len(ids) == 1
    assert re.fullmatch("[0-9a-f]{12}", ids.pop())


def test_a_copy_on_another_board_and_another_installation_have_others(machine):
    ids = {
        identity.device_id(*machine()),
        identity.device_id(*machine(serial="10000000abcdef02\0")),
        identity.device_id(*machine(installation=f"{MACHINE_ID[::-1]}\n")),
    }
    assert len(ids) == 3


def test_neither_can_be_derived_from_it(machine):
    own = identity.device_id(*machine())
    assert own not in MACHINE_ID
    assert own not in "10000000abcdef01"
    assert not (machine()[0]).exists(), "nothing needs to be kept"


@pytest.mark.parametrize("installation", ["", "uninitialized\n", "0123\n", "z" * 32])
def test_without_a_machine_id_it_is_random_and_kept(machine, installation):
    own = identity.device_id(*machine(installation=installation))
    assert re.fullmatch("[0-9a-f]{12}", own)
    assert identity.device_id(*machine(installation=installation)) == own


def test_what_was_kept_and_is_damaged_is_made_anew(machine):
    folder, *files = machine(installation="")
    first = identity.device_id(folder, *files)
    (folder / "device-id").write_text("\0\0\0")
    second = identity.device_id(folder, *files)
    assert first != second == identity.device_id(folder, *files)


def test_where_nothing_can_be_kept_it_lasts_until_the_end(machine, caplog):
    folder, *files = machine(installation="")
    folder.write_text("a file, no folder")
    assert re.fullmatch("[0-9a-f]{12}", identity.device_id(folder, *files))
    assert "the device id will change at the next start" in caplog.text


def test_the_board(machine):
    _, _, tree = machine(model="Raspberry Pi 5 Model B Rev 1.0\0")
    assert identity.board(tree) == "Raspberry Pi 5 Model B Rev 1.0"


def test_a_machine_that_does_not_say_is_its_architecture(machine):
    _, _, tree = machine(model="\0")
    assert re.fullmatch(r"\w+", identity.board(tree))
    assert re.fullmatch(r"\w+", identity.board(tree / "nowhere"))


def test_the_fingerprint_is_that_of_the_certificate_whatever_its_lines(tmp_path):
    content = bytes(range(256))
    pem = tmp_path / "certificate.pem"
    pem.write_text(ssl.DER_cert_to_PEM_cert(content))
    expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    assert identity.fingerprint(pem) == expected
    assert len(expected) == 43


@pytest.mark.parametrize("text", ["", "no certificate", "\xe9"])
def test_what_is_no_certificate_is_reported(tmp_path, text):
    pem = tmp_path / "certificate.pem"
    pem.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"PEM|ascii"):
        identity.fingerprint(pem)
