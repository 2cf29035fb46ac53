"""A transaction that is going on."""

from appliance.gallery.book import Book
from appliance.gallery.people import Known
from appliance.gallery.rotation import Rotated
from appliance.gallery.snapshot import Snapshot, count, embedder, known


class Draft:
    """The book to write in, and what the gallery holds once that is done. Not thread-safe."""

    def __init__(self, book: Book, before: Snapshot) -> None:
        self.book, self.rotation = book, before.rotation
        self.people, self.references = dict(before.people), dict(before.references)
        self.passages = dict(before.passages)
        self._index, self._embedder, self._whole = before.index, before.embedder, False

    def known(self, identity: str) -> Known:
        """The person with this id. Raises NoSuchPersonError."""
        return known(self.people, identity)

    def embedder(self) -> str | None:
        """The sha256 of the embedder that made the newest template; None when there are none."""
        return embedder(self.people.values())

    def templates(self) -> int:
        """How many there are."""
        return count(self.people.values())

    def put(self, known: Known) -> None:
        """A person, as they are from now on; of their templates, none is new, and none is gone."""
        self.people[known.person.id] = self.references[known.person.reference] = known

    def put_with(self, known: Known, vector: Rotated) -> None:
        """A person whose last template is new, and its vector."""
        self.put(known)
        self._index = self._index.adding(known.person.reference, vector)

    def put_without(self, known: Known) -> None:
        """A person some of whose templates are gone."""
        self.put(known)
        self._index = self._index.without(known.person.reference)
        for template in known.templates:
            if template.model == self._embedder:
                vector = self.book.sheet(template.number, known.person.reference).vector
                self._index = self._index.adding(known.person.reference, vector)

    def drop(self, known: Known) -> None:
        """A person is gone, and with them all that is theirs."""
        del self.people[known.person.id], self.references[known.person.reference]
        self.passages.pop(known.person.reference, None)
        self._index = self._index.without(known.person.reference)

    def drop_everybody(self) -> None:
        """Nobody is there any more."""
        for table in (self.people, self.references, self.passages):
            table.clear()
        self.read_whole()

    def read_whole(self) -> None:
        """So much changes that the index is made anew from the book."""
        self._whole = True

    def done(self) -> Snapshot:
        """What the gallery holds; within the transaction, at its end."""
        if self._whole or (self._embedder and self.embedder() != self._embedder):
            return Snapshot.of(self.book)
        return Snapshot(self.rotation, self.people, self.references, self.passages, self._index)
