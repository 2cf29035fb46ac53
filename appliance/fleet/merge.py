"""How two versions of a person become one: rules without storage or network, the same on every device.

Versions have a total order, so devices that have seen the same ones agree, in whatever order they saw them. An erasure outlives
every later version of the person it is about.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from appliance.gallery.shares import Share

NOTHING = Share()
"""What is known of a person who was never shared."""

DIFFERS = "differs"
"""Why a person is held who was enrolled on this device and, differently, on another one before both were in the fleet."""


@dataclass(frozen=True, slots=True)
class Local:
    """A person as this device has them now: the fingerprint of their content and their reference."""

    digest: str
    reference: str


class MergeResult(StrEnum):
    """What becomes of a version that arrives: the device has it already, takes it, takes it and loses a change of its own,
    refuses it because it knows a later one, or keeps a person of its own beside it.
    """

    SAME = "same"
    TAKEN = "taken"
    LOST = "lost"
    REFUSED = "refused"
    HELD = "held"


def joined(one: Share, other: Share) -> Share:
    """Returns the version that follows from both: the later one, in which everyone stays erased who is erased in either. It is
    a revision of its own where neither of them says that.
    """
    winner = max(one, other, key=_rank)
    erased = tuple(sorted({*one.erased, *other.erased}))
    if winner.reference in erased:
        winner = replace(winner, digest="", reference="")
    elif winner.erased == erased:
        return winner
    return replace(winner, revision=winner.revision + 1, erased=erased)


def arrived(
    share: Share, local: Local | None, incoming: Share, sent: Collection[Share] = ()
) -> tuple[Share, MergeResult]:
    """Returns what is known of a person once `incoming` has arrived from the fleet, and what becomes of it. With TAKEN and LOST
    the person becomes that of `incoming`. A local person whose reference is erased then is erased with every verdict. `sent`
    are the versions that this device has sent and that the servers may have stored without its knowledge.
    """
    after = joined(share, incoming)
    after = replace(after, held="", unshared=after != incoming)
    older = _rank(incoming) < _rank(share)
    if older or (incoming.reference and not after.reference):
        verdict = MergeResult.SAME if share.unshared else MergeResult.REFUSED
        return replace(after, held=share.held if after.reference else ""), verdict
    own = [each for each in sent if each.reference == incoming.reference]  # one of them has been stored
    known = [share] if share.reference else own
    changed = known and local not in [Local(each.digest, each.reference) for each in known]
    if local is None:
        return after, MergeResult.TAKEN if after.reference else MergeResult.SAME
    if local.reference not in after.erased:
        never_shared = (share.revision == 0 and not own) or share.held == DIFFERS
        if after.reference and local.digest == after.digest:
            return after, MergeResult.SAME if local.reference == after.reference else MergeResult.TAKEN
        if never_shared:
            return replace(after, held=DIFFERS), MergeResult.HELD
        unshared = incoming in own or (after == share and not share.held)  # a change made here is the later one
        if unshared or not after.reference:  # another person with this id, enrolled on purpose after the erasure
            return after, MergeResult.SAME
    return after, MergeResult.LOST if changed and not share.held else MergeResult.TAKEN


def wanted(share: Share, local: Local | None) -> Share | None:
    """Returns the version that the fleet should have, as far as this device knows; None if it has nothing to say."""
    if share.held:
        return None
    if local is None or local.reference in share.erased:
        return share if share.revision and not share.reference else None
    if (local.digest, local.reference) == (share.digest, share.reference):
        return share
    return Share(share.revision + 1, local.digest, local.reference, share.erased)


def _rank(share: Share) -> tuple[int, bool, str, str, tuple[str, ...]]:
    """Of two versions with one revision, an erasure is the later one."""
    return share.revision, not share.reference, share.digest, share.reference, share.erased
