"""Paths into documents, as people write them."""

from __future__ import annotations

import pytest

from rtp_workers.errors import ConfigError
from rtp_workers.topics.paths import Path, leaves, parse_path, path_text, put_at, remove_at, value_at


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("amount", ("amount",)),
        ("payment.amount.value", ("payment", "amount", "value")),
        ("items[0].sku", ("items", 0, "sku")),
        ("matrix[1][2]", ("matrix", 1, 2)),
        ("naïve key.of money", ("naïve key", "of money")),
        ("/a.b/c", ("a.b", "c")),
        ("/items/0/sku", ("items", 0, "sku")),
        ("/a~1b/c~0d", ("a/b", "c~d")),
    ],
)
def test_a_path_is_read(text: str, path: Path) -> None:
    assert parse_path(text) == path
    assert parse_path(path_text(path)) == path


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a[0]b", "a]b"])
def test_what_is_not_a_path_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a path into a document; write names with dots"):
        parse_path(text)


@pytest.mark.parametrize("path", [("a.b",), ("/a",), ("a[0]",), ("",), ("~",), ("a", "")])
def test_a_name_that_the_dotted_form_cannot_hold_is_written_as_a_pointer(path: Path) -> None:
    assert path_text(path).startswith("/")
    assert parse_path(path_text(path)) == path


def test_a_value_is_found_through_objects_and_lists() -> None:
    document = {"a": {"b": [{"c": 1}]}, "0": "zero", "text": "abc"}
    assert value_at(document, ("a", "b", 0, "c")) == 1
    assert value_at(document, (0,)) == "zero"
    assert value_at(document, ("a", "b", 1, "c")) is None
    assert value_at(document, ("text", 0)) is None
    assert value_at(document, ("a", "x", "y")) is None


def test_what_is_removed_can_be_put_back() -> None:
    document = {"a": {"b": {"c": 1, "d": 2}}}
    remove_at(document, ("a", "b", "c"))
    remove_at(document, ("a", "x", "y"))
    assert document == {"a": {"b": {"d": 2}}}
    put_at(document, ("a", "b", "c"), 1)
    put_at(document, ("e", "f"), 3)
    assert document == {"a": {"b": {"c": 1, "d": 2}}, "e": {"f": 3}}


def test_a_path_through_a_list_removes_from_every_item() -> None:
    document = {"items": [{"card": 1, "sku": "x"}, {"card": 2}, 3], "tags": ["a", "b"], "0": {"card": 4}}
    remove_at(document, ("items", 0, "card"))
    remove_at(document, ("tags", 0))
    remove_at(document, (0, "card"))
    assert document == {"items": [{"sku": "x"}, {}, 3], "tags": [], "0": {}}


def test_of_a_list_the_first_item_s_values_are_listed() -> None:
    document = {"a": {"b": 1}, "items": [{"sku": "x"}, {"sku": "y"}], "none": [], "null": None}
    assert dict(leaves(document)) == {("a", "b"): 1, ("items", 0, "sku"): "x", ("null",): None}
