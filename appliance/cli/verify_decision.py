"""`appliance verify-decision`: the verifier for a door controlled by a shell script."""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from appliance import state
from appliance.access.token import (
    LONGEST,
    Direction,
    PublicKey,
    PublicKeyError,
    ReusedNonceError,
    TokenError,
    check_answer,
    milliseconds,
    read_token,
)
from appliance.config import Config

KEPT = timedelta(days=1)
"""How long a used nonce is kept after its decision has expired; clocks are rarely corrected by more."""


LEDGER = TypeAdapter(dict[str, dict[str, int]])
"""The time (milliseconds since 1970) at which the decision of each nonce expires."""


class LedgerError(Exception):
    """The file is not a ledger; the text says so in one line."""


def use_nonce(path: Path, nonce: str, expires: datetime) -> None:
    """Records a nonce whose decision expires then as used: on the disk before it returns, under a lock against other processes.
    Raises ReusedNonceError if it is recorded already, LedgerError, OSError.
    """
    state.require_folder(path)
    with state.held(path):
        used = _read_ledger(path)
        if nonce in used:
            raise ReusedNonceError("reused nonce: its decision was used before")
        oldest = milliseconds(datetime.now(UTC) - KEPT)
        kept = {each: until for each, until in used.items() if until >= oldest}
        content = json.dumps({"nonces": {**kept, nonce: milliseconds(expires)}}, indent=0)
        state.write_atomically(path, content.encode() + b"\n", 0o600)


def _read_ledger(path: Path) -> Mapping[str, int]:
    try:
        return LEDGER.validate_json(path.read_bytes(), strict=True)["nonces"]
    except FileNotFoundError:
        return {}
    except (ValidationError, KeyError) as error:
        raise LedgerError(f"{path} is not a ledger of nonces: name another file, or delete it") from error


def run(options: argparse.Namespace, _settings: Config) -> int:
    """Verifies one decision by this computer's clock. The exit status: 0 granted; 1 denied or invalid, and one line on standard
    error says why.
    """
    try:
        decision = read_token(_text(options.token), _key(options.key), options.device)
        tolerance = timedelta(seconds=options.tolerance)
        check_answer(decision, options.nonce, Direction(options.direction), datetime.now(UTC), tolerance)
        if options.ledger is not None:
            use_nonce(options.ledger, decision.nonce, decision.expires)
    except (TokenError, PublicKeyError, LedgerError) as error:
        return _refused(str(error), options)
    except OSError as error:
        return _refused(f"{error.filename}: {error.strerror}", options)
    if options.json:
        said = decision.document()
        names = ("result", "reason", "person", "direction", "device", "id", "frames", "issued", "expires")
        print(json.dumps({"verified": True, **{name: said[name] for name in names}}))
    elif decision.granted:
        print(decision.person)
    if not decision.granted:
        print(f"denied: {decision.reason}", file=sys.stderr)
    return 0 if decision.granted else 1


def _text(given: str) -> str:
    """The token, or the content of standard input for "-"."""
    return (sys.stdin.buffer.read(2 * LONGEST).decode("ascii", "replace") if given == "-" else given).strip()


def _key(text: str) -> PublicKey:
    """From the file of this name if it exists, otherwise from the text itself."""
    path = Path(text)
    try:
        exists = path.is_file()
    except OSError:  # a text too long for a file name
        exists = False
    if exists:
        return PublicKey.read(path.read_text("utf-8", "replace"))
    try:
        return PublicKey.read(text)
    except PublicKeyError as error:
        raise PublicKeyError(f"--key {text[:80]}: there is no such file, and the text itself is {error}") from error


def _refused(why: str, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({"verified": False, "refused": why}))
    print(why, file=sys.stderr)
    return 1
