"""The device's signing key: made once, sealed under the site key, and told apart when something is wrong with it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.access import signing_key
from appliance.access.signing_key import DeviceKeyError
from appliance.gallery.people import GalleryUnavailableError
from appliance.gallery.vault import Seal, SiteKey

SITE = SiteKey(bytes(range(32)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / signing_key.SIGNING_KEY_FILE


def test_it_is_made_once(path):
    signer = signing_key.obtain_signing_key(path, SITE)
    again = signing_key.obtain_signing_key(path, SITE)
    assert again.public.raw == signer.public.raw
    assert signer.public.signed(b"a", again.sign(b"a"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_several_at_once_make_one(path):
    with ThreadPoolExecutor(8) as makers:
        signers = list(makers.map(lambda _: signing_key.obtain_signing_key(path, SITE), range(8)))
    assert len({signer.public.raw for signer in signers}) == 1


def test_every_device_has_its_own(path, tmp_path):
    other = signing_key.obtain_signing_key(tmp_path / "other", SITE)
    assert other.public.raw != signing_key.obtain_signing_key(path, SITE).public.raw


def test_it_is_not_in_clear(path):
    signer = signing_key.obtain_signing_key(path, SITE)
    secret = Seal(SITE).open(path.read_bytes(), signing_key.SIGNING_KEY_PLACE)
    assert signing_key.Signer.of(secret).public.raw == signer.public.raw
    assert secret not in path.read_bytes()
    assert signer.public.raw not in path.read_bytes()
    assert repr(secret) not in repr(signer)


def test_another_site_key(path):
    signing_key.obtain_signing_key(path, SITE)
    with pytest.raises(DeviceKeyError, match="another site key") as caught:
        signing_key.obtain_signing_key(path, SiteKey(bytes(32)))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, GalleryUnavailableError)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 60])
def test_a_damaged_file_is_never_replaced(path, content):
    signing_key.obtain_signing_key(path, SITE)
    path.write_bytes(content)
    with pytest.raises(DeviceKeyError, match="damaged"):
        signing_key.obtain_signing_key(path, SITE)
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_had(tmp_path):
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(DeviceKeyError, match="signing key"):
        signing_key.obtain_signing_key(tmp_path / "state" / signing_key.SIGNING_KEY_FILE, SITE)
