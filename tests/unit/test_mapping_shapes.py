"""Every shape of bench/csv_shapes is mapped right, or asked for where it must be; none is guessed wrong."""

from __future__ import annotations

import pytest

from bench.csv_report import Shape, judge, shapes
from tests.mapping_files import load_all

ALL = list(shapes())


@pytest.mark.parametrize("shape", ALL, ids=[shape.name for shape in ALL])
def test_the_mapping_of_a_shape_is_right(shape: Shape) -> None:
    assert {field: verdict for field, verdict in judge(shape).items() if verdict != "right"} == {}


@pytest.mark.parametrize("shape", [shape for shape in ALL if shape.first], ids=lambda shape: str(shape.name))
def test_the_first_row_of_a_shape_is_loaded_right(shape: Shape) -> None:
    loaded = load_all(shape.data, f"{shape.name}.csv")
    assert {field: loaded.records[0].get(field) for field in shape.first} == shape.first
    if shape.refused is not None:
        of_content = [row.reason for row in loaded.refused if row.reason not in ("ragged_row", "blank_line")]
        assert tuple(of_content) == shape.refused
