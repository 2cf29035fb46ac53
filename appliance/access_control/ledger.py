"""Nonces whose decisions have been used, in a file: what `appliance verify-decision` remembers from one run to the next."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance import state
from appliance.access_control.token import milliseconds
from appliance.access_control.verifier import ReusedNonceError

KEPT = timedelta(days=1)
"""How long a nonce is remembered after its decision has expired: longer than a clock that was wrong is set back, as a rule."""


class LedgerError(Exception):
    """The file is no ledger; the text says so in one line."""


def use(path: Path, nonce: str, expires: datetime) -> None:
    """Notes that the decision on `nonce`, which expires then, is used now; on the disk before it returns, and one of several
    processes at a time. Raises ReusedNonceError when it was noted before, LedgerError, OSError.
    """
    with state.held(path):
        used = _read(path)
        if nonce in used:
            raise ReusedNonceError("reused nonce: a decision on it was used before")
        oldest = milliseconds(datetime.now(UTC) - KEPT)
        kept = {each: until for each, until in used.items() if until >= oldest}
        content = json.dumps({"nonces": {**kept, nonce: milliseconds(expires)}}, indent=0)
        state.write_atomically(path, content.encode() + b"\n", 0o600)


def _read(path: Path) -> Mapping[str, int]:
    try:
        nonces = json.loads(path.read_bytes())["nonces"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path} is no ledger of nonces: name another file, or delete it") from error
    if not (isinstance(nonces, dict) and all(type(until) is int for until in nonces.values())):
        raise LedgerError(f"{path} is no ledger of nonces: name another file, or delete it")
    return nonces
