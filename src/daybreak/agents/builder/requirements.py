"""Generated code and tests name the requirements that they are there for.

Declarations in models.py do so each for itself. The other modules are the same in every program; which of them is
there for what stands in the two tables below: by module and function, the kinds of requirements (`links.Faculty`,
`links.Trait`) that it serves, or shows. What no requirement asks for by name gets no comment.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from daybreak.agents import links
from daybreak.agents.entities import Entity
from daybreak.agents.links import Ids, Links
from daybreak.agents.protocol import Brief

_Table = Mapping[str, Mapping[str, Sequence[str]]]
WHOLE = ""
"""In place of a function: the module, whose docstring names them."""

CODE: _Table = {
    "account": {
        "Account.login": ("login",),
        "Account.logout": ("logout",),
        "Account.show": ("account",),
        "Account.edit": ("account",),
    },
    "api": {
        WHOLE: ("http",),
        "Api.index": ("list", "search"),
        "Api.list": ("list", "search"),
        "Api.named": ("named list",),
        "Api.totals": ("total",),
        "Api.edit": ("change",),
        "Api.delete": ("delete",),
        "Api.act": ("action",),
        "Api.relate": ("relation",),
        "read_body": ("wrong request",),
        "_body": ("wrong request",),
        "_refused": ("wrong request",),
    },
    "cli": {
        "_add": ("entity", "register"),
        "_list": ("list", "search", "named list"),
        "_edit": ("change",),
        "_delete": ("delete",),
        "_act": ("action",),
        "_relate": ("relation",),
        "_login": ("login",),
        "_logout": ("logout",),
        "_whoami": ("account",),
        "_totals": ("total",),
        "_export": ("export",),
        "_import": ("import",),
    },
    "drafts": {"_take": ("refuse",)},
    "keys": {WHOLE: ("key",)},
    "queries": {WHOLE: ("list", "search")},
    "secret": {WHOLE: ("secret",)},
    "sessions": {
        "begin": ("login",),
        "known": ("login",),
        "end": ("logout",),
        "may_change": ("owner", "account"),
        "relate": ("relation",),
    },
    "store": {
        "Store.add": ("entity", "register"),
        "Store.edit": ("change",),
        "Store.delete": ("delete",),
        "Store.act": ("action",),
        "Store.relate": ("relation",),
        "Store._shown": ("private",),
        "Store._dangling": ("reference",),
        "Store._check_unique": ("unique",),
    },
    "totals": {WHOLE: ("total",)},
    "transfer": {"export_file": ("export",), "import_file": ("import",)},
    "values": {"exact": ("decimal",), "faults": ("refuse",)},
    "words": {WHOLE: ("words",)},
}
"""Below the package."""

TESTS: _Table = {
    "test_api": {
        "test_the_declared_entities_are_served": ("http",),
        "test_a_list_is_filtered_sorted_and_counted": ("list", "search"),
        "test_wrong_values_are_all_told": ("wrong value", "wrong request"),
        "test_a_body_must_be_a_json_object": ("wrong request",),
        "test_what_is_not_there_and_what_is_not_allowed": ("wrong request",),
        "test_an_action_is_a_post": ("action",),
        "test_totals_are_json": ("total",),
    },
    "test_cli": {
        "test_a_record_lives_from_add_to_delete": ("list", "change", "delete"),
        "test_wrong_usage_is_refused": ("wrong value",),
        "test_import_and_export_count": ("export", "import"),
        "test_an_action_tells_its_move": ("action",),
        "test_totals_are_tables": ("total",),
    },
    "test_entities": {
        "test_what_is_added_is_kept": ("entity", "register"),
        "test_required_fields_are_required": ("wrong value",),
        "test_unique_values_are_used_once": ("unique",),
        "test_ids_are_never_used_twice": ("delete",),
        "test_the_command_line_does_it_all": ("list", "delete"),
        "test_what_is_exported_can_be_imported": ("export", "import"),
        "test_an_action_happens_wholly_or_not_at_all": ("action",),
    },
    "test_forum": {
        "test_a_slug_is_made_once_and_stays": ("key",),
        "test_a_key_stands_for_its_record": ("key",),
        "test_counts_follow_what_is_counted": ("count",),
        "test_words_are_searched_for": ("words",),
        "test_the_index_follows_changes": ("words",),
        "test_a_named_list_holds_what_it_says": ("named list",),
    },
    "test_queries": {"test_a_query_finds_its_records": ("list", "search")},
    "test_readme": {"test_the_readme_tells_every_command": ("readme",)},
    "test_secret": {"test_a_secret_is_in_no_file_and_on_no_screen": ("secret",)},
    "test_shapes": {"test_records_lie_within_others": ("parent",)},
    "test_store": {
        "test_all_problems_come_at_once_in_table_order": ("wrong value", "reference"),
        "test_unique_is_by_value_whatever_the_digits_or_the_case": ("unique",),
        "test_an_edit_changes_what_is_given_and_nothing_else": ("change",),
        "test_what_is_used_is_not_deleted": ("delete",),
        "test_an_action_moves_only_from_its_state": ("action",),
        "test_an_action_keeps_the_rules": ("action",),
    },
    "test_totals": {"test_sums_are_exact_and_means_rounded_half_up": ("total",)},
    "test_transfer": {
        "test_hard_texts_come_back": ("export", "import"),
        "test_a_bad_file_adds_nothing": ("import",),
    },
    "test_users": {
        "test_a_token_says_who_is_there": ("login",),
        "test_a_session_ends": ("logout",),
        "test_only_the_owner_changes_a_record": ("owner",),
        "test_users_change_themselves_alone": ("register", "account"),
        "test_what_is_private_stays_private": ("private",),
        "test_a_relation_is_there_once": ("relation",),
        "test_records_are_found_by_relations": ("relation",),
        "test_lists_depend_on_who_asks": ("named list",),
        "test_users_have_a_record_of_their_own": ("account",),
        "test_sessions_begin_and_end": ("login", "logout"),
        "test_only_the_owner_changes_a_record_over_http": ("owner",),
    },
    "test_values": {
        "test_a_wrong_text_is_refused_with_what_was_given": ("wrong value",),
        "test_every_broken_rule_is_told": ("wrong value",),
        "test_equal_decimals_are_the_same_and_their_order_is_by_value": ("decimal",),
        "test_sums_are_exact": ("decimal",),
    },
}
"""Below tests/."""


def found(brief: Brief) -> Links:
    """By what the brief's copy of the specification says."""
    return Links(
        requirements=brief.requirements,
        entities=brief.entities,
        headings=links.headings(brief.specification, [one.id for one in brief.requirements]),
    )


def context(asked: Links) -> dict[str, Any]:
    """What the templates see beside the entities."""
    return {"documented": ", ".join(asked.kinds["readme"])}


def entity(entity: Entity, asked: Links) -> dict[str, Any]:
    """What models.py says of an entity: for itself, for each field and action in the order declared, for all totals,
    and for each line that names nothing but relations, lists and the like, by what it begins with."""
    lines = {
        "login": _united(asked, asked.of_faculty("login"), asked.of_faculty("register")),
        "search": asked.of_faculty("search", entity),
        "users_may": _united(asked, *(asked.of_relation(entity, name) for name in entity.users_may)),
        "lists": _united(asked, *(asked.of_list(entity, named) for named in entity.lists)),
    }
    return {
        "asked_by": ", ".join(asked.of_entity(entity)),
        "fields_asked_by": [", ".join(asked.of_field(entity, field)) for field in entity.fields],
        "actions_asked_by": [", ".join(asked.of_action(entity, action)) for action in entity.actions],
        "totals_asked_by": ", ".join(asked.of_faculty("total", entity)),
        "lines_asked_by": {name: ", ".join(ids) for name, ids in lines.items()},
    }


def named(path: str, text: str, asked: Links) -> str:
    """The text of a Python file with the requirements that it is there for, or that its tests show."""
    folder, _, file = path.rpartition("/")
    is_test = folder == "tests"
    table = (TESTS if is_test else CODE).get(file.removesuffix(".py"), {})
    wanted = {name: _united(asked, *(asked.kinds[kind] for kind in kinds)) for name, kinds in table.items()}
    wanted = {name: ids for name, ids in wanted.items() if ids}
    if not wanted:
        return text
    tree, lines = ast.parse(text), text.split("\n")
    for line, name in sorted(_places(tree, wanted), reverse=True):
        ids = ", ".join(wanted[name])
        if name == WHOLE:
            _say_in_docstring(lines, line, f"Requirements: {ids}")
        else:
            indent = lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]
            lines.insert(line - 1, f"{indent}# {'shows' if is_test else 'Requirements'}: {ids}")
    return "\n".join(lines)


def _places(tree: ast.Module, wanted: Mapping[str, Ids]) -> list[tuple[int, str]]:
    """The first line of each wanted function that is there, with its decorators; of the module its docstring's last."""
    places = []
    if WHOLE in wanted:
        places.append((tree.body[0].end_lineno or 1, WHOLE))
    for node, name in [*_functions(tree.body, ""), *_methods(tree)]:
        if name in wanted:
            places.append((min([node.lineno, *(one.lineno for one in node.decorator_list)]), name))
    return places


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(body: Sequence[ast.stmt], before: str) -> list[tuple[_Function, str]]:
    return [(node, before + node.name) for node in body if isinstance(node, _Function)]


def _methods(tree: ast.Module) -> list[tuple[_Function, str]]:
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return [one for node in classes for one in _functions(node.body, f"{node.name}.")]


def _say_in_docstring(lines: list[str], last: int, sentence: str) -> None:
    """A paragraph of its own at the end of the docstring whose last line that is."""
    text = lines[last - 1].removesuffix('"""')
    lines[last - 1 : last] = [*([text] if text else []), "", sentence, '"""']


def _united(asked: Links, *ids: Ids) -> Ids:
    """All of them, in the order of the specification."""
    wanted = {one for some in ids for one in some}
    return tuple(one.id for one in asked.requirements if one.id in wanted)
