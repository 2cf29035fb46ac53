"""What root does with a service's people belongs to the service; what root carries away is root's."""

import json
import os

import pytest

from appliance.gallery import vault

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes on another user's rights: needs root")

NOBODY = 65534

WITH = ("--passphrase-file", "passphrase")


@pytest.fixture
def service(place):
    """A state folder of a service's user; the folder of the key is root's alone."""
    place.state.mkdir(mode=0o700)
    os.chown(place.state, NOBODY, NOBODY)
    vault.make_site_key(place.key_file)
    place.key_file.parent.chmod(0o700)
    for folder in place.state.parents:
        if folder.owner() == "root" and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    return place


def foreign(service):
    return [str(each) for each in service.state.rglob("*") if each.stat().st_uid != NOBODY]


def test_nothing_in_the_state_becomes_root_s(service, portrait):
    photo = service.folder / "private.jpg"
    photo.write_bytes(portrait)
    photo.chmod(0o600)
    service.says("add", "ada", "--name", "Ada")
    assert service.says("enrol", "ada", photo).startswith(f"{photo}: template 1")
    service.says("backup", "people.backup", *WITH)
    assert (service.folder / "people.backup").stat().st_uid == 0
    assert json.loads(service.says("erase", "ada", "--yes"))["record"]["sequence"] == 1
    service.says("restore", "people.backup", *WITH)
    service.database.write_bytes(b"no database")
    os.chown(service.database, NOBODY, NOBODY)
    service.says("restore", "people.backup", *WITH)
    with service.gallery():
        assert foreign(service) == []
    assert os.geteuid() == 0
    assert service.says("list").startswith("ada")
