"""The Helm chart agrees with itself and with our settings; tests/k8s installs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rtp_workers.settings import known_names

CHART = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
TEXTS = sorted(path for path in CHART.rglob("*") if path.suffix in (".yaml", ".tpl"))


def test_the_schema_names_every_value_and_no_other() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(_names(values, schema)) == set()
    assert set(schema["properties"]) - {"global"} == set(values)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_setting_in_the_chart_is_one_that_a_program_reads(path: Path) -> None:
    used = set(re.findall(r"\bRTP_[A-Z][A-Z0-9_]*", path.read_text()))
    assert used <= known_names()


def _names(values: dict[str, Any], schema: dict[str, Any], where: str = "") -> list[str]:
    """Returns the names that only one of the two has."""
    if schema.get("additionalProperties") is not False or "properties" not in schema:
        return []
    named = schema["properties"]
    differing = [f"{where}.{name}" for name in set(values) ^ set(named) if where or name != "global"]
    for name in set(values) & set(named):
        if isinstance(values[name], dict) and values[name]:
            differing += _names(values[name], named[name], f"{where}.{name}")
    return differing
