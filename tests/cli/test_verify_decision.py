"""`appliance verify-decision`: exit status 0 for a decision to act on, else 1 and one line that says why."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from decisions import DEVICE, SIGNER, token_of

from appliance.access.token import LIFE, Direction, Signer

NONCE = "-begins_with_a_hyphen"

OTHER = Signer.of(b"another device, and its 32 bytes")


def fresh(signer=SIGNER, ago=0.0, **changes):
    """A decision that was issued a moment ago."""
    issued = (datetime.now(UTC) - timedelta(seconds=ago)).replace(microsecond=0)
    times = {"frames": (issued,) * 4, "issued": issued, "expires": issued + LIFE}
    return token_of(signer, **{"nonce": NONCE, **times, **changes})


@pytest.fixture
def verify(run):
    """Checks a decision; with a tolerance in which a slow computer gets through."""

    def checked(token, *more, key=SIGNER.public.text):
        return run("verify-decision", f"--key={key}", f"--nonce={NONCE}", "--tolerance=60", *more, token)

    return checked


def test_granted(verify):
    done = verify(fresh(), "--device", DEVICE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "staff-17\n", "")


def test_denied(verify):
    done = verify(fresh(granted=False, reason="nobody", person=None))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "denied: nobody\n")


@pytest.mark.parametrize("text", [SIGNER.public.pem, json.dumps({"device": DEVICE, "public_key": SIGNER.public.text})])
def test_the_key_in_a_file(verify, tmp_path, text):
    (tmp_path / "key").write_text(text, "utf-8")
    assert verify(fresh(), key=tmp_path / "key").returncode == 0


def test_the_token_from_standard_input_and_the_answer_as_json(environment, tmp_path):
    command = [sys.executable, "-m", "appliance", "verify-decision", f"--key={SIGNER.public.pem}"]
    command += [f"--nonce={NONCE}", "--tolerance=60", "--json", "-"]
    done = subprocess.run(
        command, input=fresh() + "\n", capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert (said["verified"], said["result"], said["person"], said["direction"]) == (True, "granted", "staff-17", "in")
    assert len(said["frames"]) == 4


def bit_flipped(token):
    return token[:100] + chr(ord(token[100]) ^ 1) + token[101:]


@pytest.mark.parametrize(
    ("token", "more", "why"),
    [
        (lambda: "none", (), "not a token"),
        (lambda: bit_flipped(fresh()), (), "altered"),
        (lambda: fresh(OTHER), (), "another device"),
        (lambda: fresh(nonce="A" * 22), (), "wrong nonce"),
        (lambda: fresh(direction=Direction.OUT), (), "wrong direction"),
        (fresh, ("--direction", "out"), "wrong direction"),
        (fresh, ("--device", "another"), "another device"),
        (lambda: fresh(ago=3), ("--tolerance=0",), "expired"),
        (lambda: fresh(ago=-30), ("--tolerance=0",), "not yet valid"),
        (fresh, ("--key=none",), "not an Ed25519 public key"),
        (fresh, ("--ledger=/proc/none",), "/proc"),
    ],
)
def test_an_invalid_decision_is_reported_in_one_line(verify, token, more, why):
    done = verify(token(), *more)
    assert done.returncode == 1
    assert done.stdout == ""
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    said = json.loads(verify(token(), *more, "--json").stdout)
    assert said["verified"] is False
    assert why in said["refused"]


def test_a_ledger_lets_each_nonce_pass_once(verify, tmp_path):
    ledger, token = tmp_path / "used", fresh()
    assert verify(token, "--ledger", ledger).returncode == 0
    again = verify(token, "--ledger", ledger)
    assert (again.returncode, again.stdout) == (1, "")
    assert "reused nonce" in again.stderr
    assert verify(token).returncode == 0


def test_of_several_at_once_one_passes(verify, tmp_path):
    ledger, token = tmp_path / "used", fresh()
    with ThreadPoolExecutor(3) as doors:
        found = list(doors.map(lambda _: verify(token, "--ledger", ledger).returncode, range(3)))
    assert sorted(found) == [0, 1, 1]


def test_what_is_refused_uses_nothing_up(verify, tmp_path):
    ledger = tmp_path / "used"
    assert verify(fresh(direction=Direction.OUT), "--ledger", ledger).returncode == 1
    assert verify(fresh(), "--ledger", ledger).returncode == 0


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"nonces": 1}', '{"nonces": {"a": "b"}}'])
def test_a_file_that_is_no_ledger_is_left_alone(verify, tmp_path, content):
    ledger = tmp_path / "used"
    ledger.write_text(content, "utf-8")
    done = verify(fresh(), "--ledger", ledger)
    assert done.returncode == 1
    assert "not a ledger" in done.stderr
    assert ledger.read_text("utf-8") == content


def test_a_ledger_forgets_what_has_long_expired(verify, tmp_path):
    ledger = tmp_path / "used"
    ledger.write_text('{"nonces": {"old": 1700000000000}}', "utf-8")
    assert verify(fresh(), "--ledger", ledger).returncode == 0
    assert list(json.loads(ledger.read_text("utf-8"))["nonces"]) == [NONCE]
