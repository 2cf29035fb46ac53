"""The webhook, before a real server that is flaky, slow, silent, full, moved, or not to be trusted."""

import base64
import json
import logging
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from certificates import certificate, server_context
from client import HOST
from devices import until
from hypothesis import given
from hypothesis import strategies as st
from receiver import OK, SECRET, Receiver, Verifier, closing, dripping, endless, silent, status
from told import NAME, PERSON, delivered, dropped, running, signed

from appliance.events import DeliveryCounts, DoorEvent, DoorEventKind
from appliance.outputs import webhook as standard_webhooks
from appliance.outputs.webhook import Webhook, retry_after


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n", "ascii")
    path.chmod(0o600)
    return path


@pytest.fixture
def webhook(secret_file):
    def made(url, **changed):
        settings = {
            "secret_file": secret_file,
            "ca_file": None,
            "timeout_s": 1,
            "give_up_s": 60,
            "waiting": 16,
            "device": "50d31c0ffee0",
        }
        return Webhook(url, **{**settings, **changed})

    return made


def test_a_decision_is_posted_and_signed(webhook):
    with Receiver() as receiver, running(webhook(receiver.url)) as output:
        output.notify(one := signed())
        assert delivered(output, 1)
        ((line, headers, body, _),) = receiver.requests
        assert line == "POST /hook?door=1 HTTP/1.1"
        assert headers["host"] == f"{HOST}:{receiver.port}"
        assert headers["content-type"] == "application/json"
        document = json.loads(body)
        assert document["type"] == "access.decision"
        data = document["data"]
        assert (data["id"], data["result"], data["person"]) == (one.decision.id, "granted", PERSON)
        assert data["token"] == one.token
        assert data["expires"].endswith("Z")
        assert NAME.encode() not in body
        assert headers["webhook-id"] == one.decision.id
        assert output.counts() == DeliveryCounts(1, 0, 0)
        verify = Verifier(SECRET)
        assert not verify({**headers, "webhook-timestamp": "1"}, body, time.time())
        assert not verify(headers, body.replace(b"granted", b"denied."), time.time())
        assert not verify(headers, body, time.time() + 3600)
        assert verify(headers, body, time.time())
        assert not verify(headers, body, time.time())  # the same once more


def test_an_event_of_the_door_is_posted_under_its_own_type(webhook):
    with Receiver() as receiver, running(webhook(receiver.url)) as output:
        output.notify(DoorEvent(DoorEventKind.NOT_OPENED, datetime.fromtimestamp(1.5, UTC), "0123"))
        assert delivered(output, 1)
        ((_, headers, body, _),) = receiver.requests
    document = json.loads(body)
    assert (document["type"], document["timestamp"]) == ("door.not_opened", "1970-01-01T00:00:01.500Z")
    assert (document["data"]["event"], document["data"]["by"]) == ("not_opened", "0123")
    assert headers["webhook-id"] == document["data"]["id"] == "50d31c0ffee0-1500-not_opened"
    assert Verifier(SECRET)(headers, body, time.time())


def test_the_reference_s_own_example():
    key = standard_webhooks.webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = standard_webhooks.webhook_headers(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_!", "whsec_AAAA", "whsec_" + "A" * 120])
def test_an_invalid_secret_is_reported_without_its_content(secret):
    with pytest.raises(ValueError, match=r"secret|whsec_") as told:
        standard_webhooks.webhook_key(secret)
    assert len(secret) < 7 or secret.removeprefix("whsec_") not in str(told.value)


@given(st.binary(min_size=24, max_size=64), st.text(max_size=40), st.integers(0, 2**40), st.binary(max_size=200))
def test_what_is_signed_is_verified_and_nothing_else(key, message, moment, body):
    headers = standard_webhooks.webhook_headers(key, message, moment, body)
    secret = "whsec_" + base64.b64encode(key).decode()
    assert standard_webhooks.webhook_key(secret) == key
    assert Verifier(secret)(headers, body, moment)
    assert not Verifier(secret)(headers, body + b" ", moment)


def test_it_is_tried_again_with_the_same_id_until_it_is_taken(webhook):
    with Receiver(status(503), closing, status(429), OK) as receiver, running(webhook(receiver.url)) as output:
        output.notify(signed())
        assert until(output.problem)
        assert delivered(output, 1)
        assert output.problem() is None
        assert len(receiver.requests) == 4
        assert len({headers["webhook-id"] for _, headers, _, _ in receiver.requests}) == 1
        times = [moment for *_, moment in receiver.requests]
        assert times[1] - times[0] >= 0.5
        assert times[3] - times[2] >= 2.0  # doubled twice, less at most a half
        assert output.counts() == DeliveryCounts(1, 0, 0)


@pytest.mark.parametrize("number", [301, 302, 307, 308, 400, 401, 404, 410, 422])
def test_a_refusal_is_final_and_the_next_one_goes_out(webhook, number):
    with Receiver() as elsewhere:
        moved = status(number, f"Location: {elsewhere.url}")
        with Receiver(moved, OK) as receiver, running(webhook(receiver.url)) as output:
            output.notify(signed())
            assert dropped(output, 1)
            assert output.problem().state == "webhook_refused"
            output.notify(signed())
            assert delivered(output, 1)
            assert output.problem() is None
            assert len(receiver.requests) == 2
        assert elsewhere.requests == []


def test_retry_after_is_waited_for(webhook):
    answers = status(503, "retry-after: 2"), OK
    with Receiver(*answers) as receiver, running(webhook(receiver.url)) as output:
        output.notify(signed())
        assert delivered(output, 1)
        times = [moment for *_, moment in receiver.requests]
        assert times[1] - times[0] >= 1.9


def test_what_is_not_taken_in_time_is_given_up(webhook, caplog):
    with Receiver(status(500)) as receiver, running(webhook(receiver.url, give_up_s=1)) as output:
        output.notify(signed())
        assert dropped(output, 1)
        assert output.problem().state == "webhook_failing"
        assert 1 <= len(receiver.requests) <= 2
    assert "webhook: gave up a decision" in caplog.text


def test_once_only(webhook):
    with Receiver(status(500)) as receiver, running(webhook(receiver.url, give_up_s=0)) as output:
        output.notify(signed())
        assert dropped(output, 1)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "behaviour", [silent, dripping, endless, closing, b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2x0\r\n\r\n"]
)
def test_whatever_the_answer_is_it_takes_no_longer_than_it_may(webhook, behaviour):
    with Receiver(behaviour) as receiver, running(webhook(receiver.url, timeout_s=0.5, give_up_s=0)) as output:
        begun = time.monotonic()
        output.notify(signed())
        assert dropped(output, 1)
        assert time.monotonic() - begun < 5
        assert output.problem().state == "webhook_unreachable"


def test_interim_answers_and_a_large_body_are_passed_over(webhook):
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + b"x" * 2**22
    with Receiver(answer) as receiver, running(webhook(receiver.url)) as output:
        output.notify(signed())
        assert delivered(output, 1)


def test_a_receiver_that_is_not_there(webhook):
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    with running(webhook(f"http://{HOST}:{port}/", give_up_s=0)) as output:
        output.notify(signed())
        assert dropped(output, 1)
        assert output.problem().state == "webhook_unreachable"


@pytest.mark.parametrize("behaviour", [silent, dripping])
def test_it_stops_at_once_in_the_middle_of_a_post(webhook, behaviour):
    with Receiver(behaviour) as receiver:
        with running(webhook(receiver.url, timeout_s=60)) as output:
            output.notify(signed())
            assert receiver.got(1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1


def test_it_stops_at_once_while_it_connects(webhook):
    listener = socket.socket()
    listener.bind((HOST, 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    others = [socket.socket() for _ in range(4)]  # the queue is full: further ones are not answered
    for other in others:
        other.setblocking(False)
        other.connect_ex((HOST, port))
    with running(webhook(f"http://{HOST}:{port}/", timeout_s=60)) as output:
        output.notify(signed())
        time.sleep(0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    for each in [listener, *others]:
        each.close()


def test_it_stops_at_once_in_a_pause(webhook):
    with Receiver(status(503, "Retry-After: 50")) as receiver:
        with running(webhook(receiver.url)) as output:
            output.notify(signed())
            assert until(output.problem)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1


def test_the_oldest_undelivered_ones_are_dropped(webhook):
    with Receiver(status(503, "Retry-After: 50")) as receiver, running(webhook(receiver.url, waiting=3)) as output:
        output.notify(signed())
        assert receiver.got(1)
        for _ in range(10):
            output.notify(signed())
        assert output.counts() == DeliveryCounts(0, 7, 4)


def test_tls_is_verified(webhook, tmp_path):
    ours, stranger = certificate(tmp_path / "ours"), certificate(tmp_path / "other")
    with Receiver(tls=server_context(*ours)) as receiver:
        with running(webhook(receiver.url, ca_file=ours[0])) as output:
            output.notify(signed())
            assert delivered(output, 1)
        for authority in (None, stranger[0]):
            with running(webhook(receiver.url, ca_file=authority, give_up_s=0)) as output:
                output.notify(signed())
                assert dropped(output, 1)
                assert output.problem().state == "webhook_unreachable"
        assert len(receiver.requests) == 1


def test_a_certificate_of_another_name_is_not_taken(webhook, tmp_path):
    other = certificate(tmp_path, "door.example")
    with Receiver(tls=server_context(*other)) as receiver:
        with running(webhook(receiver.url, ca_file=other[0], give_up_s=0)) as output:
            output.notify(signed())
            assert dropped(output, 1)
        assert receiver.requests == []


def test_the_secret_is_read_anew_and_never_logged(webhook, secret_file, caplog):
    caplog.set_level(logging.DEBUG)
    secret_file.chmod(0o644)
    with Receiver() as receiver, running(webhook(receiver.url)) as output:
        output.notify(signed())
        assert until(output.problem)
        assert output.problem().state == "webhook_no_secret"
        assert f"chmod o= {secret_file}" in caplog.text
        secret_file.chmod(0o640)
        assert delivered(output, 1)
        assert output.problem() is None
    assert SECRET.removeprefix("whsec_") not in caplog.text
    assert NAME not in caplog.text
    assert PERSON not in caplog.text
    assert "door=1" not in caplog.text


def test_the_secret_may_be_a_credential_of_systemd(webhook, secret_file, tmp_path, monkeypatch):
    secret_file.rename(tmp_path / "webhook-secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with Receiver() as receiver, running(webhook(receiver.url, secret_file=None)) as output:
        output.notify(signed())
        assert delivered(output, 1)


@pytest.mark.parametrize("content", [None, "\n"])
def test_without_a_credential_nothing_leaves(webhook, tmp_path, monkeypatch, content):
    if content:
        (tmp_path / "webhook-secret").write_text(content, "ascii")
        (tmp_path / "webhook-secret").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with Receiver() as receiver, running(webhook(receiver.url, secret_file=None, give_up_s=0)) as output:
        output.notify(signed())
        assert dropped(output, 1)
        assert output.problem().state == "webhook_no_secret"
        assert receiver.requests == []


@pytest.mark.parametrize("content", [None, b"", b"not a secret", b"whsec_x\nwhsec_y", b"\xff\xfe", b"x" * 5000])
def test_without_a_usable_secret_nothing_leaves(webhook, secret_file, content):
    if content is None:
        secret_file.unlink()
    else:
        secret_file.write_bytes(content)
    with Receiver() as receiver, running(webhook(receiver.url, give_up_s=0)) as output:
        output.notify(signed())
        assert dropped(output, 1)
        assert output.problem().state == "webhook_no_secret"
        assert receiver.requests == []


def test_retry_after_as_a_date():
    now = datetime.now(UTC)
    assert 95 < retry_after(format_datetime(now + timedelta(seconds=100), usegmt=True)) <= 100
    assert retry_after(format_datetime(now - timedelta(seconds=100))) == 0
    assert retry_after(" 120 ") == 120


@given(st.text(max_size=40) | st.from_regex(r"[0-9A-Za-z:, +-]{0,40}"))
def test_any_retry_after_is_a_number_of_seconds(value):
    assert retry_after(value) >= 0
