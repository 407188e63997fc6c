"""The specification as data: what stands in the front matter, and the whole of it in YAML, TOML and JSON.

The published JSON Schema is generated from these classes, and the reader takes its keys from them. Types and
rules are the same texts as in the table of a Markdown specification.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"
Number = Annotated[int | str, Field(description="A whole number, also as text.")]
Text = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)


class BudgetPart(_Part):
    """What a build may use."""

    time: Annotated[
        str, Field(pattern=r"^\s*(\d+\s*h)?\s*(\d+\s*m(in)?)?\s*(\d+\s*s)?\s*$|^\s*\d+:\d{2}(:\d{2})?\s*$")
    ] = Field("30m", description="`90s`, `30m`, `1h30m`, `1:30` (hours and minutes); 10 seconds to 7 days.")
    money: Annotated[str, Field(pattern=r"^\s*(\$\s*\d+(\.\d{1,4})?|\d+(\.\d{1,4})?\s*([uU][sS][dD]|\$))\s*$")] = Field(
        "2usd", description="`2usd`, `0.50usd`; 0 to 10000."
    )
    tokens: Number = Field("500k", description="`500000`, `500k`, `2m`; 0 to 10 billion.")
    attempts: Number = Field(3, description="1 to 20.")


class LimitsPart(_Part):
    """How far work may branch out."""

    workers: Number = Field(8, description="1 to 64.")
    depth: Number = Field(3, description="1 to 10.")
    children: Number = Field(5, description="1 to 50.")


class NeedsPart(_Part):
    """What a machine must have on which attempts and checks are done."""

    cpus: Number | float = Field(1, description="Processors, 0.1 to 1000; half ones count.")
    memory: Annotated[str, Field(pattern=r"^\s*\d+(\.\d+)?\s*([kKmMgGtT]i?)?[bB]?\s*$")] | None = Field(
        None, description="`512MB`, `8GiB`: no attempt may use more; 64 MiB to 1 TiB."
    )
    labels: list[str] = Field(
        [], description="Names that the machine must have, such as `docker` or `gpu=a100`; at most 50."
    )


class QualityPart(_Part):
    """What the result must reach."""

    coverage: Number = Field(85, description="Percent of the result's code that its own tests run; 0 to 100.")
    thresholds: list[Number] = Field(
        [60, 75, 85], description="Scores that successive iterations must reach, rising; 1 to 10 numbers from 0 to 100."
    )


class HttpPart(_Part):
    """How the http face behaves."""

    prefix: str | None = Field("", description="In front of all paths, such as `/api`.")
    cors: str | list[str] | None = Field(None, description="`*`, or the origins that may call.")
    delete_all: bool | Literal["true", "false"] = Field(False, description="Whether a whole collection can be deleted.")
    envelope: Literal["name", "data"] | None = Field(
        None, description="`name`: `{article: …}` and `{articles: […], articles_count: 3}`; `data`: `{data: …}`."
    )
    errors: Literal["problem", "fields", "message"] = Field("problem", description="How an error is written.")
    names: Literal["declared", "camel"] = Field("declared", description="`camel`: `created_at` is `createdAt` in JSON.")
    page: Number | None = Field(None, description="How many records a list holds unless asked otherwise.")
    page_max: Number | None = Field(None, description="How many may be asked for.")
    put: Literal["all", "some"] = Field("all", description="`some`: PUT changes only what is given.")
    statuses: dict[str, Number] | None = Field(None, description="`{invalid: 400, deleted: 200}`")


class FrontMatter(_Part):
    """What stands in front."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{1,39}$")] = Field(
        description="Package, command and directory of the result."
    )
    version: str | float = "0.1.0"
    language: str = "python"
    interfaces: Annotated[list[Literal["cli", "http"]], Field(min_length=1)] = ["cli"]
    complexity: Literal["simple", "moderate", "complex"] | None = Field(
        None, description="Left out: estimated from the content."
    )
    paradigm: Literal["auto", "sequential", "parallel", "chain", "tournament", "consensus"] | None = Field(
        None, description="How workers share the build. Left out: what daybreak.toml says, else chosen from the plan."
    )
    budget: BudgetPart | None = None
    limits: LimitsPart | None = None
    quality: QualityPart | None = None
    needs: NeedsPart | None = None
    holdout: float | str = Field(0.33, description="Share of the acceptance examples that workers never see, 0 to 0.8.")
    serve: str | None = Field(None, description="How http examples start the result; `{port}` is a free port.")
    http: HttpPart | None = None


class StoryPart(_Part):
    """One user story."""

    title: Text
    priority: str = ""
    narrative: str = ""
    scenarios: list[str] = Field([], description="Given … When … Then …")


class NumberedPart(_Part):
    """A requirement or a success criterion."""

    id: Text = Field(description="`FR-001` or `SC-001`.")
    text: Text = Field(description="`System MUST …`")


class FieldPart(_Part):
    """One field of an entity."""

    name: Text
    type: Text = Field(
        description="`text`, `integer`, `number`, `decimal`, `boolean`, `date`, `timestamp`, `link`, `choice: a, b`, "
        "`list of TYPE` or `ref ENTITY`."
    )
    rules: str | list[str] = Field("", description="As in the table: `required, 1..200`; or a list of rules.")


class EntityPart(_Part):
    """What the program keeps."""

    name: Text = Field(description="CamelCase.")
    about: str = ""
    plural: str | None = None
    fields: Annotated[list[FieldPart], Field(min_length=1)]
    actions: dict[str, str] | list[dict[str, str] | str] = Field(
        {}, description="Name and changes: `lend: status in -> out; set lent_at now; ask due`."
    )
    totals: list[str] = Field([], description="`count, sum pages by shelf`")
    lists: dict[str, str] | list[dict[str, str] | str] = Field(
        {}, description="Name and conditions: `feed: author in my follow`."
    )
    login: str | None = Field(None, description="The records are users: `email with password, for 30 days`.")
    seen_as: str | None = Field(None, description="Of users: what others see, such as `profile`.")
    readers: str | None = Field(None, description="`everyone`, `users` or `owner`.")
    writers: str | None = Field(None, description="`everyone` or `users`.")
    users_may: str | list[str] | None = Field(None, description="Relations to users: `favorite`.")
    order: str | list[str] | None = Field(None, description="`-created_at, title`")
    listed_by: str | None = Field(None, description="The key that stands for each record in JSON lists: `name`.")
    search: str | list[str] | None = Field(None, description="Fields that are searched by words: `title, body`.")


class AcceptancePart(_Part):
    """Examples under one heading."""

    title: Text = Field(description="Names the requirements that are shown: `FR-002 lending`.")
    console: str | None = None
    http: str | None = None
    files: str | None = None


class SpecificationFile(FrontMatter):
    """A Daybreak specification."""

    title: Text
    summary: str = ""
    objectives: Annotated[list[str], Field(min_length=1)]
    stories: list[StoryPart] = []
    requirements: Annotated[list[NumberedPart], Field(min_length=1)]
    entities: list[EntityPart] = []
    success_criteria: list[NumberedPart] = []
    out_of_scope: list[str] = []
    acceptance: list[AcceptancePart] = []


def schema() -> dict[str, Any]:
    """The JSON Schema of a specification written as data."""
    return {"$schema": SCHEMA_ID, **SpecificationFile.model_json_schema()}


def schema_text() -> str:
    """As published in `schema/spec.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")  # noqa: T201 - `python -m daybreak.factory.spec.file` publishes it
