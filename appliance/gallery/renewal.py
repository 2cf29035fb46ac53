"""Every template anew: turned by another rotation, or made by another embedder."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from appliance.face.types import Embedding
from appliance.gallery import enrolment
from appliance.gallery.people import Known, Renewed
from appliance.gallery.records import Sheet
from appliance.gallery.store import Draft, Storage
from appliance.gallery.vault import Rotation, new_seed


def rotate(draft: Draft) -> None:
    """Draws another rotation, and turns every template by it instead of by the one before."""
    before, seed = draft.rotation, new_seed()
    after = Rotation(seed)
    draft.book.write_rotation(seed)
    draft.read_whole()
    for known in draft.people.values():
        for template in known.templates:
            sheet = draft.book.sheet(template.number, known.person.reference)
            turned = replace(sheet, vector=before.renewed(sheet.vector, after))
            draft.book.write_sheet(template.number, known.person.reference, turned)


def embedded(storage: Storage, model: str, embed: Callable[[bytes], Embedding]) -> dict[int, Embedding]:
    """What another embedder makes of the pictures that are kept, by the number of their template."""
    found = {}
    for known in storage.snapshot.people.values():
        for template in known.templates:
            if template.model != model:
                with storage.reading() as (book, _):
                    picture = book.picture(template.number, known.person.reference)
                if picture is not None:
                    found[template.number] = embed(picture)
    return found


def renew(draft: Draft, model: str, embeddings: Mapping[int, Embedding]) -> Renewed:
    """Puts what another embedder made in the place of the templates, under new numbers; they keep their age."""
    draft.read_whole()
    made, left = 0, []
    for known in tuple(draft.people.values()):
        for template in known.templates:
            if template.number in embeddings:
                _exchange(draft, known, template.number, model, embeddings[template.number])
                made += 1
            elif template.model != model:
                left.append(template.number)
    return Renewed(made, tuple(left))


def _exchange(draft: Draft, known: Known, number: int, model: str, embedding: Embedding) -> None:
    reference, identity = known.person.reference, known.person.id
    old, picture = draft.book.sheet(number, reference), draft.book.picture(number, reference)
    enrolment.forget(draft, identity, number)
    vector = enrolment.turned(draft, embedding)
    enrolment.enter(draft, identity, Sheet(model, old.quality, old.source, old.created, vector), picture)
