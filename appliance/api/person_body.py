"""What is posted of a person: JSON, checked field by field."""

from datetime import date
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.faults import Refusal, ResultCode

LONGEST_ECHO = 40
"""Characters of a field's name that an answer repeats: one that is not known is the client's."""

LONGEST = 16 * 1024
"""Bytes of a body: the largest person there can be has 3 kB. Of a longer one every mistake would be told first, a million in
8 MiB, and everybody would wait for it.
"""


class Words(BaseModel):
    """All that can be changed of a person; what the words themselves may be, the gallery checks (gallery/people.py)."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: str
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    valid_from: date | None = None
    valid_until: date | None = None


class NewPerson(Words):
    """A person who is not known yet."""

    id: str


Body = TypeVar("Body", bound=BaseModel)


def read(content: bytes, kind: type[Body]) -> Body:
    """A body that is JSON of a kind, whatever type it claims. Raises Refusal INF-01 `invalid_body`, whose text names the
    field.
    """
    if len(content) > LONGEST:
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"body: more than {LONGEST} bytes")
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in mistake["loc"])[:LONGEST_ECHO]
        reason = "there is no such field" if mistake["type"] == "extra_forbidden" else mistake["msg"]
        raise Refusal(ResultCode.INVALID_BODY, "invalid_body", f"{field or 'body'}: {reason}") from None
