"""The site key: where it is found, who may read it, and that it is never made twice."""

import re
import stat
import threading

import pytest

from appliance.gallery import vault
from appliance.gallery.people import NoKeyError
from appliance.gallery.vault import SiteKey


@pytest.fixture(autouse=True)
def _no_key_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def test_purposes_have_keys_of_their_own():
    key = SiteKey(bytes(32))
    assert key.derive("one") == SiteKey(bytes(32)).derive("one")
    assert len({key.derive("one"), key.derive("two"), SiteKey(b"\1" * 32).derive("one"), key.secret}) == 4
    assert len(key.derive("one")) == 32


def test_its_text_does_not_show_it():
    assert str(SiteKey(b"secret" * 5 + b"!!")) == "SiteKey()"


def test_a_key_that_is_made_can_be_read_again_and_by_its_owner_alone(tmp_path):
    path = tmp_path / "a" / "gallery.key"
    made = vault.make_site_key(path)
    assert vault.read_site_key(path) == made
    assert re.fullmatch(rb"[0-9a-f]{64}\n", path.read_bytes())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_making_never_puts_a_new_key_in_the_place_of_another(tmp_path):
    path, made = tmp_path / "gallery.key", []
    threads = [threading.Thread(target=lambda: made.append(vault.make_site_key(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert set(made) == {vault.read_site_key(path)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "gallery.key"
    vault.make_site_key(path)
    path.chmod(mode)
    with pytest.raises(NoKeyError, match=f"`chmod 600 {path}`"):
        vault.read_site_key(path)


@pytest.mark.parametrize("content", [b"ab" * 31, b"ab" * 33, b"AB" * 32, b"ab" * 32 + b"\n\n", b"\0" * 32])
def test_what_is_not_a_key_is_refused_and_not_shown(tmp_path, content):
    path = tmp_path / "gallery.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(NoKeyError, match="is not a site key") as raised:
        vault.read_site_key(path)
    assert content.decode() not in str(raised.value) or len(content) < 2


def test_a_missing_key_and_one_that_is_a_folder_are_reported(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(NoKeyError, match="cannot be read"):
            vault.read_site_key(path)


def test_the_places_are_looked_at_in_order(tmp_path, monkeypatch):
    user, system = tmp_path / "config" / "face-appliance" / "gallery.key", tmp_path / "etc" / "gallery.key"
    assert vault.find_site_key(None, system) == user
    vault.make_site_key(system)
    assert vault.find_site_key(None, system) == system
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert vault.find_site_key(None, system) == system
    credential = tmp_path / "credentials" / "gallery-key"
    vault.make_site_key(credential)
    assert vault.find_site_key(None, system) == credential
    assert vault.find_site_key(tmp_path / "configured", system) == tmp_path / "configured"


def test_a_credential_shows_the_mask_of_an_access_list_as_its_groups_rights(tmp_path, monkeypatch):
    path = tmp_path / "credentials" / "gallery-key"
    made = vault.make_site_key(path)
    path.chmod(0o440)
    with pytest.raises(NoKeyError):
        vault.read_site_key(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert vault.read_site_key(path) == made
    path.chmod(0o444)
    with pytest.raises(NoKeyError):
        vault.read_site_key(path)


def test_a_key_is_made_only_for_a_gallery_that_is_not_there_yet(tmp_path):
    path, database = tmp_path / "gallery.key", tmp_path / "gallery.db"
    made = vault.obtain_site_key(path, database)
    database.touch()
    assert vault.obtain_site_key(path, database) == made
    path.unlink()
    with pytest.raises(NoKeyError, match="put it back"):
        vault.obtain_site_key(path, database)
    assert not path.exists()


def test_where_no_key_can_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NoKeyError, match="no site key can be made there"):
        vault.make_site_key(tmp_path / "file" / "gallery.key")


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_what_stands_in_for_a_missing_credential_is_no_key(tmp_path, content):
    path = tmp_path / vault.CREDENTIAL
    path.write_bytes(content)
    path.chmod(0o400)
    with pytest.raises(NoKeyError, match=f"put it back as {vault.SYSTEM_FILE}"):
        vault.read_site_key(path)
