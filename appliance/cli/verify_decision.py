"""`appliance verify-decision`: the verifier for a door that is a shell script."""

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

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

KEPT = timedelta(days=1)
"""How long a nonce is remembered after its decision has expired: longer than a clock that was wrong is set back, as a rule."""


class LedgerError(Exception):
    """The file is no ledger; the text says so in one line."""


def use_nonce(path: Path, nonce: str, expires: datetime) -> None:
    """Notes that the decision on `nonce`, which expires then, is used now; on the disk before it returns, and one of several
    processes at a time. Raises ReusedNonceError when it was noted before, LedgerError, OSError.
    """
    with state.held(path):
        used = _read_ledger(path)
        if nonce in used:
            raise ReusedNonceError("reused nonce: a decision on it was used before")
        oldest = milliseconds(datetime.now(UTC) - KEPT)
        kept = {each: until for each, until in used.items() if until >= oldest}
        content = json.dumps({"nonces": {**kept, nonce: milliseconds(expires)}}, indent=0)
        state.write_atomically(path, content.encode() + b"\n", 0o600)


def _read_ledger(path: Path) -> Mapping[str, int]:
    try:
        nonces = json.loads(path.read_bytes())["nonces"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path} is no ledger of nonces: name another file, or delete it") from error
    if not (isinstance(nonces, dict) and all(type(until) is int for until in nonces.values())):
        raise LedgerError(f"{path} is no ledger of nonces: name another file, or delete it")
    return nonces


def verify_decision(options: argparse.Namespace) -> int:
    """Checks one decision by the clock on the wall. Exit status 0: granted; 1: denied, or not to be acted on, and one line on
    standard error says why.
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
    """The token itself, or what stands on standard input."""
    return (sys.stdin.buffer.read(2 * LONGEST).decode("ascii", "replace") if given == "-" else given).strip()


def _key(text: str) -> PublicKey:
    """From a file of this name, if there is one, else from the text itself."""
    path = Path(text)
    try:
        there = path.is_file()
    except OSError:  # a text that is too long for a name
        there = False
    return PublicKey.read(path.read_text("utf-8", "replace") if there else text)


def _refused(why: str, options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({"verified": False, "refused": why}))
    print(why, file=sys.stderr)
    return 1
