"""Keys are made, listed and revoked on the command line; a file of them holds digests alone, and nothing damages it."""

import json
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import keys, state
from appliance.keys import KeysError, KeyStore, Scope

pytestmark = pytest.mark.logs_errors("no key is accepted")


@pytest.fixture
def configured(tmp_path):
    """A configuration whose state is in a folder that is not there yet."""
    path = tmp_path / "appliance.toml"
    path.write_text(f'[state]\nfolder = "{tmp_path / "state" / "deep"}"\n', "utf-8")
    return path


def kept(configured):
    return configured.parent / "state" / "deep" / keys.FILE


def test_a_key_is_printed_once_alone_and_only_its_digest_is_kept(run, configured):
    done = run("keys", "add", "door", "--config", configured)
    token = done.stdout.removesuffix("\n")
    assert done.returncode == 0
    assert re.fullmatch(r"fa_[A-Za-z0-9_-]{43}", token)
    assert token not in done.stderr
    assert done.stderr.startswith("The key of door (recognise, live)")
    (entry,) = json.loads(kept(configured).read_text("utf-8"))["keys"]
    assert entry["digest"] == sha256(token.encode()).hexdigest()
    assert set(entry) == {"name", "scopes", "created", "digest"}
    assert not [path for path in configured.parent.rglob("*") if path.is_file() and token in path.read_text("utf-8")]
    assert stat.S_IMODE(kept(configured).stat().st_mode) == 0o600
    assert stat.S_IMODE(kept(configured).parent.stat().st_mode) == 0o700


def test_keys_are_listed_without_their_digests_and_revoked(run, configured):
    run("keys", "add", "door", "--config", configured)
    run("keys", "add", "prometheus", "--scope", "admin", "--config", configured)
    listed = json.loads(run("keys", "list", "--json", "--config", configured).stdout)
    assert [(key["name"], key["scopes"]) for key in listed] == [
        ("door", ["recognise", "live"]),
        ("prometheus", ["admin"]),
    ]
    assert abs((datetime.fromisoformat(listed[0]["created"]) - datetime.now(UTC)).total_seconds()) < 60
    assert {name for key in listed for name in key} == {"name", "scopes", "created"}
    assert [line.split()[0] for line in run("keys", "list", "--config", configured).stdout.splitlines()] == [
        "door",
        "prometheus",
    ]

    done = run("keys", "revoke", "door", "--config", configured)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "revoked: door\n")
    assert [key["name"] for key in json.loads(run("keys", "list", "--json", "--config", configured).stdout)] == [
        "prometheus"
    ]


def test_a_key_from_before_decide_was_a_scope_keeps_what_it_could_do_and_is_listed_so(run, configured):
    path = kept(configured)
    path.parent.mkdir(parents=True)
    entry = {"name": "old", "scopes": ["live"], "created": "2026-11-01T00:00:00Z", "digest": "0" * 64}
    state.write_document(path, {"keys": [entry, {**entry, "name": "forms", "scopes": ["recognise"]}]})
    for _ in range(2):  # as it was written, and after a change of the file
        listed = json.loads(run("keys", "list", "--json", "--config", configured).stdout)
        assert [(key["name"], key["scopes"]) for key in listed[:2]] == [
            ("old", ["live", "decide"]),
            ("forms", ["recognise"]),
        ]
        assert re.match(r"old +live decide ", run("keys", "list", "--config", configured).stdout)
        run("keys", "add", "new", "--scope", "live", "--config", configured)
    assert listed[2]["scopes"] == ["live"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "door"), "there is a key door already"),
        (("add", "a b"), "letters, digits"),
        (("add", "a\nb"), "letters, digits"),
        (("add", ""), "letters, digits"),
        (("add", "x" * 65), "letters, digits"),
        (("revoke", "window"), "there is no key window"),
    ],
)
def test_what_cannot_be_done_is_reported_in_one_line(run, configured, arguments, said):
    run("keys", "add", "door", "--config", configured)
    done = run("keys", *arguments, "--config", configured)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert said in done.stderr


@pytest.mark.parametrize("arguments", [("add", "window"), ("revoke", "door"), ("list",)])
def test_a_damaged_file_is_reported_and_left_as_it_is(run, configured, arguments):
    run("keys", "add", "door", "--config", configured)
    damaged = kept(configured).read_bytes()[:-9]
    kept(configured).write_bytes(damaged)
    done = run("keys", *arguments, "--config", configured)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "is damaged" in done.stderr
    assert kept(configured).read_bytes() == damaged


def test_a_folder_that_cannot_be_had_is_reported_in_one_line(run, tmp_path):
    path = tmp_path / "appliance.toml"
    path.write_text(f'[state]\nfolder = "{path}"\n', "utf-8")
    for arguments in (("add", "door"), ("revoke", "door"), ("list",)):
        done = run("keys", *arguments, "--config", path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert str(path) in done.stderr


@pytest.mark.parametrize("arguments", [(), ("add",), ("add", "door", "--scope", "everything"), ("revoke",), ("give",)])
def test_wrong_usage_is_2(run, arguments):
    assert run("keys", *arguments).returncode == 2


def test_keys_added_at_the_same_time_are_all_kept(tmp_path):
    path = tmp_path / keys.FILE
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda number: keys.add(path, f"key{number}", [Scope.LIVE]), range(24)))
    store = KeyStore(path)
    assert [store.find(token).name for token in tokens] == [f"key{number}" for number in range(24)]
    assert sorted(each.name for each in tmp_path.iterdir()) == [keys.FILE]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away: needs root")
def test_what_root_writes_belongs_to_the_folder_s_owner(tmp_path):
    os.chown(tmp_path, 65534, 65534)
    keys.add(tmp_path / keys.FILE, "door", [Scope.LIVE])
    found = (tmp_path / keys.FILE).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (65534, 65534, 0o600)


@given(st.binary(max_size=200))
def test_whatever_stands_in_the_file_is_keys_or_damage(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(KeysError):
        keys.read(path)
    store = KeyStore(path)
    assert (store.empty(), store.find("")) == (False, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "digest", "keys"]), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": json_values | st.just("door"),
            "digest": json_values | st.just("0" * 64),
            "scopes": json_values | st.just(["live"]),
            "created": json_values | st.just("2026-01-01T00:00:00Z"),
        },
    )
)
def test_an_entry_that_is_not_whole_is_damage(tmp_path_factory, entry):
    path = tmp_path_factory.getbasetemp() / "entries.json"
    path.write_text(json.dumps({"keys": [entry]}), "utf-8")
    try:
        (found,) = keys.read(path)
    except KeysError:
        return
    assert keys.NAME.fullmatch(found.name)
    assert re.fullmatch("[0-9a-f]{64}", found.digest)
    assert isinstance(found.created, datetime)


def test_a_changed_file_is_noticed_once_a_second_at_most(tmp_path):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    path, clock = tmp_path / keys.FILE, Clock()
    store = KeyStore(path, clock)
    token = keys.add(path, "door", [Scope.LIVE])
    assert (store.find(token), store.empty()) == (None, True)
    clock.now = state.LOOK_SECONDS
    assert store.find(token).scopes == {Scope.LIVE}
    keys.revoke(path, "door")
    clock.now *= 2
    assert (store.find(token), store.empty()) == (None, True)


def test_the_state_is_where_it_is_configured_else_systemd_s_else_the_user_s(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/face-appliance")
    assert state.folder(tmp_path) == tmp_path
    assert state.folder(None) == Path("/var/lib/face-appliance")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert state.folder(None) == Path("/xdg/face-appliance")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state.folder(None) == Path.home() / ".local/state/face-appliance"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match="file"):
        state.write_atomically(path, b"new", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
