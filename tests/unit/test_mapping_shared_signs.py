"""A currency sign of several countries is asked about, unless the file or topic says which one it means."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.sources import Section
from rtp_workers.topics.infer import infer_documents
from tests.mapping_files import csv_of, load_all, plan_of
from tests.topic_records import document

YEN_LINES = ('# constants.currency = "CNY"', '# constants.currency = "JPY"')


def file_of(header: str, *ends: str) -> bytes:
    """Returns a CSV whose rows have a date, a shop and these last cells."""
    return csv_of(header, *(f"2024-01-0{at},Shop {at},{end}" for at, end in enumerate(ends, 1)))


def currencies(data: bytes, **mapping: object) -> list[str | None]:
    loaded = load_all(data, mapping=Section(**mapping))  # type: ignore[arg-type]  # fields of different types
    return [record.get("currency") for record in loaded.records]


@pytest.mark.parametrize(
    ("header", "ends"),
    [
        ("Date,Shop,Amount", ("¥12.50", "¥3.00")),
        ("Date,Shop,Amount", ("-￥1200", "(￥300)", "￥80")),
        ("Date,Shop,Amount", ("¥1200", "300", "40", "50", "60", "70")),
        ("Date,Shop,Debit,Credit", ("¥12.50,", ",¥3.00")),
        ("Date,Shop,Amount (¥)", ("12.50", "3.00")),
        ("Date,Shop,Amount,Currency", ("12.50,¥", "3.00,￥")),
    ],
)
def test_a_bare_yen_or_yuan_sign_is_asked_about(header: str, ends: tuple[str, ...]) -> None:
    data = file_of(header, *ends)
    (question,) = plan_of(data).undecided
    assert (question.field, question.lines) == ("currency", YEN_LINES)
    assert "is shared by CNY, JPY" in question.question
    assert currencies(data, constants={"currency": "JPY"}) == ["JPY"] * len(ends)


@pytest.mark.parametrize(
    ("header", "ends", "expected"),
    [
        ("日付,店名,金額", ("¥1200", "¥300"), "JPY"),
        ("日期,商户,金额", ("¥12.50", "¥3.00"), "CNY"),
        ("日付,店名,金額,通貨", ("1200,¥", "300,￥"), "JPY"),
        ("日付,店名,金額(¥)", ("1200", "300"), "JPY"),
        ("日期,商户,金额(JPY)", ("¥1200", "¥300"), "JPY"),
        ("Date,Shop,Amount (JPY)", ("¥1200", "¥300"), "JPY"),
        ("Date,Shop,Amount,Currency", ("¥12.50,CNY", "¥3.00,CNY"), "CNY"),
        ("Date,Shop,Amount", ("CN¥12.50", "RMB 3.00"), "CNY"),
        ("Date,Shop,Amount", ("JP¥1200", "JP¥300"), "JPY"),
        ("Date,Shop,Amount", ("1200円", "300円"), "JPY"),
    ],
)
def test_a_language_a_code_or_a_sign_of_one_country_decides(header: str, ends: tuple[str, ...], expected: str) -> None:
    assert currencies(file_of(header, *ends)) == [expected] * len(ends)


def test_a_column_of_several_signs_needs_an_answer_for_the_shared_one_alone() -> None:
    data = file_of("Date,Shop,Amount,Currency", "12.50,¥", "3.00,$", "4.00,€")
    (question,) = plan_of(data).undecided
    assert question.lines == ('columns.currency = "Currency"', *YEN_LINES)
    answer = Section(columns={"currency": ("Currency",)}, constants={"currency": "JPY"})
    assert [record["currency"] for record in load_all(data, mapping=answer).records] == ["JPY", "USD", "EUR"]


def test_a_shared_sign_among_the_signs_of_others_is_told_and_gives_no_currency() -> None:
    data = file_of("Date,Shop,Amount", "¥12.50", "$3.00", "€4.00")
    assert any("'¥' of some amounts is shared by CNY, JPY" in note for note in plan_of(data).notes)
    assert currencies(data) == [None, "USD", "EUR"]


@pytest.mark.parametrize("members", [{"amount": "¥12.50"}, {"amount": "12.50", "currency": "¥"}])
def test_a_topic_with_a_bare_sign_is_asked_about_too(members: dict[str, str]) -> None:
    plan = infer_documents([document(id=f"p{number}", **members) for number in range(5)])
    assert [(one.field, one.lines) for one in plan.undecided] == [("currency", YEN_LINES)]
    named = infer_documents([document(**{**members, "currency": "JPY"})])
    assert named.undecided == ()
    assert named.uses["currency"].columns == ("currency",)
