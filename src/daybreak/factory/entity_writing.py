"""One entity as Markdown: its heading, what it is about, its table, and what stands below the table."""

from __future__ import annotations

import re

from daybreak.agents.entities import Action, Change, Condition, Entity, Field, Total, Type

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]*", re.ASCII)
_CHOICE = re.compile(r"[\w+.:/()-]+(?: [\w+.:/()-]+)*")
_TICKS = re.compile(r"`+")


def written(entity: Entity) -> str:
    """From `#### Name` to the last line of Totals, without a line end."""
    table = ["| field | type | rules |", "|---|---|---|", *(_row(field) for field in entity.fields)]
    found = [f"#### {entity.name}", entity.about, "\n".join(table)]
    if entity.plural is not None:
        found.append(f"Plural: {entity.plural}")
    found.append("\n".join(_notes(entity)))
    if entity.actions:
        found.append("\n".join(["Actions:", *(f"- `{one.name}`: {_changes(one)}" for one in entity.actions)]))
    if entity.lists:
        told = (f"- `{one.name}`: {'; '.join(map(_condition, one.conditions))}" for one in entity.lists)
        found.append("\n".join(["Lists:", *told]))
    if entity.totals:
        found.append("\n".join(["Totals:", *(f"- {_total(one)}" for one in entity.totals)]))
    return "\n\n".join(part for part in found if part)


def code(text: str) -> str:
    """A code span of this very text; with as many backticks as it needs."""
    runs = {len(run) for run in _TICKS.findall(text)}
    ticks = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
    padded = text.startswith("`") or text.endswith("`") or (text[:1] == text[-1:] == " " and text.strip() != "")
    return f"{ticks} {text} {ticks}" if padded else f"{ticks}{text}{ticks}"


def _row(field: Field) -> str:
    cells = (field.name, written_type(field.type), ", ".join(written_rules(field)))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def written_type(type_: Type) -> str:
    """The second cell: `choice: in, out`."""
    if type_.name == "list" and type_.of is not None:
        return f"list of {written_type(type_.of)}"
    if type_.name == "choice":
        return "choice: " + ", ".join(_choice(value) for value in type_.choices)
    return f"ref {type_.target}" if type_.name == "ref" else type_.name


def _choice(value: str) -> str:
    return value if _CHOICE.fullmatch(value) else code(value)


def written_rules(field: Field) -> list[str]:
    """The third cell: `required`, `1..200`. What follows from another rule is not written."""
    made = field.slug_of or field.count_of or field.by_me or field.owner
    rules = ["required"] if field.required and not (field.key or field.parent) else []
    if field.unique and not (field.key or field.slug_of):
        rules.append("unique")
    if field.unique_ignoring_case:
        rules.append("unique ignoring case")
    rules += [f"unique with {other}" for other in field.unique_with]
    if field.min is not None and field.max is not None and ".." not in field.min + field.max:
        rules.append(f"{field.min}..{field.max}")
    else:
        rules += [f"{end} {value}" for end, value in (("min", field.min), ("max", field.max)) if value is not None]
    if field.pattern is not None:
        rules.append(f"pattern {code(field.pattern)}")
    if field.default is not None:
        rules.append(f"default {literal(field.default)}")
    rules += [f"{name} {value}" for name, value in _named(field) if value is not None]
    if field.on_delete != "restrict":
        rules.append(f"on delete {field.on_delete}")
    if field.by_me is not None:
        rules.append(f"{field.by_me} by me")
    if field.computed and field.type.name != "link" and not made:
        rules.append("computed")
    rules += ["immutable"] if field.immutable and not field.parent else []
    rules += ["new allowed"] if field.new_allowed else []
    flags = ("automatic", "secret", "key", "owner", "parent", "embedded", "private")
    return rules + [rule for rule in flags if getattr(field, rule)]


def _named(field: Field) -> tuple[tuple[str, str | None], ...]:
    return (("after", field.after), ("slug of", field.slug_of), ("by", field.by), ("count of", field.count_of))


def literal(value: str) -> str:
    """A value in a rule or an action: as it is where it is one plain word, else between backticks."""
    return value if _WORD.fullmatch(value) or _is_number(value) else code(value)


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-[0-9][0-9.]*", value, re.ASCII) is not None


def _changes(action: Action) -> str:
    return "; ".join(_change(change) for change in action.changes)


def _change(change: Change) -> str:
    match change.verb:
        case "move":
            return f"{change.field} {_choice(change.source or '')} -> {_choice(change.value or '')}"
        case "set":
            return f"set {change.field} {literal(change.value or '')}"
        case "add":
            return f"add {change.value} to {change.field}"
        case "clear" | "ask":
            return f"{change.verb} {change.field}"


def _total(total: Total) -> str:
    measures = ", ".join(
        f"`{one.kind}`" if one.field is None else f"`{one.kind} {one.field}`" for one in total.measures
    )
    if total.by is None:
        return measures
    return f"{measures} by {'month of ' if total.by_month else ''}{total.by}"


def _notes(entity: Entity) -> list[str]:
    """The labels that say all on their own line."""
    found = []
    if entity.login is not None:
        found.append(f"Login: {entity.login.name} with {entity.login.secret}, for {entity.login.hours} hours")
    if entity.seen_as is not None:
        found.append(f"Seen as: {entity.seen_as}")
    if entity.listed_by is not None:
        found.append(f"Listed by: {entity.listed_by}")
    found += [f"{label}: {who}" for label, who in _who(entity) if who != "everyone"]
    words = (("Users may", entity.users_may), ("Order", entity.order), ("Search", entity.search))
    return found + [f"{label}: {', '.join(told)}" for label, told in words if told]


def _who(entity: Entity) -> tuple[tuple[str, str], ...]:
    return (("Readers", entity.readers), ("Writers", entity.writers))


def _condition(condition: Condition) -> str:
    match condition.kind:
        case "my":
            return f"my {condition.relation}"
        case "in my":
            return f"{condition.field} in my {condition.relation}"
        case "me":
            return f"{condition.field} is me"
        case "is":
            return f"{condition.field} is {code(condition.value or '')}"
