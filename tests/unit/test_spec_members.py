"""Users, keys, relations, counts, lists and shapes are read the same from every format, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from daybreak.agents.entities import Condition, Entity, Login, NamedList
from daybreak.agents.protocol import HttpOptions
from daybreak.factory.spec import Specification, SpecInvalid, read, read_text

# shows: F3

EXAMPLE = Path(__file__).parents[2] / "examples" / "conduit" / "spec.md"
HEAD = """---
name: shelf
interfaces: [cli, http]
{http}
---
# Shelf

## Objectives
- One

## Requirements
- **FR-001**: System MUST work.

### Key Entities

#### Person
| field | type | rules |
|---|---|---|
| nick | text | key |
| word | text | required, secret |

Login: nick with word{lasts}
"""


def shelf(more: str = "", *, lasts: str = "", http: str = "", faces: str = "[cli, http]") -> Specification:
    text = HEAD.format(lasts=lasts, http=http).replace("[cli, http]", faces)
    return read_text(text + more, name="s.md", format="md")


def problem(more: str = "", **rest: str) -> tuple[str, str]:
    """The one error, and what to write instead."""
    with pytest.raises(SpecInvalid) as caught:
        shelf(more, **rest)
    found = [one for one in caught.value.problems if one.severity == "error"]
    assert len(found) == 1, found
    return found[0].message, found[0].remedy


def by_name(spec: Specification) -> dict[str, Entity]:
    return {entity.name: entity for entity in spec.entities}


def test_a_blogging_platform_is_understood() -> None:
    """Every word of it ends up in the model."""
    spec = read(EXAMPLE)
    found = by_name(spec)
    assert found["User"].login == Login(name="email", secret="password", hours=720)
    assert (found["User"].seen_as, found["User"].users_may) == ("profile", ("follow",))
    assert (found["Tag"].writers, found["Tag"].listed_by) == ("users", "name")
    article = found["Article"]
    assert article.lists == (
        NamedList(name="feed", conditions=(Condition(kind="in my", field="author", relation="follow"),)),
    )
    assert (article.order, article.search) == (("-id",), ("title", "description", "body"))
    assert article.field("slug").slug_of == "title"
    assert article.field("comments_count").count_of == "Comment.article"
    assert article.field("favorites_count").count_of == "favorite"
    assert article.field("favorited").by_me == "favorite"
    assert (article.field("tag_list").by, article.field("tag_list").new_allowed) == ("name", True)
    assert (article.field("author").owner, article.field("author").embedded) == (True, True)
    comment = found["Comment"].field("article")
    assert (comment.parent, comment.required, comment.immutable) == (True, True, True)
    assert spec.http == HttpOptions(
        prefix="/api", cors="*", envelope="name", errors="fields", names="camel", page=20, page_max=100, put="some"
    )


ENTITIES: list[dict[str, Any]] = [
    {
        "name": "Person",
        "fields": [
            {"name": "nick", "type": "text", "rules": "key"},
            {"name": "mail", "type": "text", "rules": ["private"]},
            {"name": "word", "type": "text", "rules": "required, secret"},
        ],
        "login": "nick with word, for 36 hours",
        "seen_as": "member",
        "users_may": ["follow", "block"],
        "readers": "users",
    },
    {
        "name": "Page",
        "fields": [
            {"name": "title", "type": "text", "rules": "required"},
            {"name": "body", "type": "text"},
            {"name": "state", "type": "choice: a, b"},
            {"name": "writer", "type": "ref Person", "rules": "owner"},
        ],
        "users_may": "like",
        "order": ["-id", "title"],
        "search": "title, body",
        "lists": {"open": "state is a; my like", "own": "writer is me"},
    },
]


@pytest.mark.parametrize("format_", ["json", "yaml"])
def test_data_means_the_same_as_markdown(format_: Any) -> None:
    """Lists stand for commas, mappings for items."""
    whole = {
        "name": "shelf",
        "title": "Shelf",
        "objectives": ["o"],
        "requirements": [{"id": "FR-001", "text": "System MUST x"}],
        "interfaces": ["http"],
        "http": {"statuses": {"invalid": 400}, "page": 5, "envelope": "data"},
        "entities": ENTITIES,
    }
    text = json.dumps(whole) if format_ == "json" else yaml.safe_dump(whole, sort_keys=False)
    spec = read_text(text, name=f"s.{format_}", format=format_)
    markdown = read_text(
        """---
name: shelf
interfaces: [http]
http: {statuses: {invalid: 400}, page: 5, envelope: data}
---
# Shelf

## Objectives
- o

## Requirements
- **FR-001**: System MUST x

### Key Entities

#### Person
| field | type | rules |
|---|---|---|
| nick | text | key |
| mail | text | private |
| word | text | required, secret |

Login: nick with word, for 36 hours
Seen as: member
Users may: follow, `block`
Readers: users

#### Page
| field | type | rules |
|---|---|---|
| title | text | required |
| body | text | |
| state | choice: a, b | |
| writer | ref Person | owner |

Users may: like
Order: -id, title
Search: title, body

Lists:
- `open`: state is a; my like
- `own`: writer is me
""",
        name="s.md",
        format="md",
    )
    assert spec.entities == markdown.entities
    assert spec.http == markdown.http


@pytest.mark.parametrize(("lasts", "hours"), [("", 720), (", for 1 hour", 1), (" for 90 days", 2160)])
def test_a_session_lasts_as_long_as_written(lasts: str, hours: int) -> None:
    """30 days where nothing is said."""
    login = by_name(shelf(lasts=lasts))["Person"].login
    assert login is not None
    assert login.hours == hours


BOOK = "\n#### Book\n| field | type | rules |\n|---|---|---|\n"


@pytest.mark.parametrize(
    ("more", "message", "remedy"),
    [
        (
            f"{BOOK}| title | text | slug of titel |\n| name | text | required |\n",
            "Book.title: there is no field titel",
            "the fields are name",
        ),
        (
            f"{BOOK}| name | text | required |\n| by | ref Book | owner |\n",
            "Book.by: only Person logs in",
            "write ref Person",
        ),
        (
            f"{BOOK}| name | text | |\n| likes | boolean | like by me |\n",
            "Book.likes: users have no like of it",
            "write Users may: like below the table",
        ),
        (
            f"{BOOK}| name | text | |\n\nLists:\n- `feed`: name in my follow\n",
            "Book: name refers to no record",
            "name a field of the type ref",
        ),
        (
            f"{BOOK}| name | text | |\n| page | ref Page | parent |\n\n#### Page\n"
            "| field | type | rules |\n|---|---|---|\n"
            "| name | text | |\n\nUsers may: books\n",
            "Book.page: books is a command of Page",
            "write Plural: and another word, or rename the command",
        ),
        (
            f"{BOOK}| name | text | |\n\nPlural: person\n",
            "Person: /person would also be that of Book",
            "write Plural: and another word",
        ),
        (
            f"{BOOK}| name | text | |\n\nSerch: name\n",
            "Book: 'Serch: name' is not understood",
            "write Search: at the left margin",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(more: str, message: str, remedy: str) -> None:
    """With what to write instead."""
    assert problem(more) == (message, remedy)


def test_what_hangs_on_a_login_needs_one() -> None:
    """Nothing is half built."""
    text = HEAD.format(lasts="", http="").replace("Login: nick with word", "Users may: follow\nReaders: users")
    with pytest.raises(SpecInvalid) as caught:
        read_text(text, name="s.md", format="md")
    assert [one.code for one in caught.value.problems if one.severity == "error"] == ["S170", "S170"]


def test_everything_deletable_and_owners_exclude_each_other() -> None:
    """Said at the front matter."""
    message, _ = problem(http="http: {delete_all: true}")
    assert message == "http.delete_all would let anybody delete everybody's records"


def test_a_message_can_always_be_printed() -> None:
    """Control characters of what was written stay out of it."""
    message, _ = problem("\n#### Book\n| field | type | rules |\n|---|---|---|\n| a | text | |\n\nOrder: \x80b\n")
    assert message == "Book: there is no field b"
