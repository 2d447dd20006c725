"""The encoding of a file, by its letters, its line ends and its lines."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.columns.encodings import find_encoding
from tests.mapping_files import asked, csv_of


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1250", "Główne;Żywność;Sklep spożywczy"),
        ("iso8859_2", "Główne;święta;ścieżka"),
        ("cp1250", "Příliš;žluťoučký;kůň"),
        ("cp1250", "Fűszer;Főzelék;töltőállomás"),
        ("cp1250", "Piaţa;şi;Plată"),
        ("cp1250", "Spożywczy;Żywność;Kawiarnia Café;Główne;Śniadanie"),
        ("cp1251", "Visa;Кофейня;Перевод"),
        ("cp1254", "Şişli;Maaş ödemesi;İş Bankası"),
        ("cp1257", "Šiaulių;parduotuvė;Mokėjimas"),
        ("cp1252", "Bäckerei;Müller;Straße"),
        ("cp1252", "Café;Zürich;Señor;São João;Smörgås"),
        ("cp1252", "Þjóðbúð;Reykjavík;Kaffihús á Akureyri"),
        ("cp1252", "Prestações;ação;Nº 5"),
        ("cp1252", "L’Oréal – Paris;£5"),
        ("cp850", "Bäckerei;Müller;Straße"),
        ("mac_roman", "Bäckerei;Café;Zürich"),
        ("cp1251", "Магазин;Зарплата"),
        ("koi8_r", "Магазин;Зарплата"),
        ("cp1253", "Σούπερ;μάρκετ;Μισθός"),
        ("cp1255", "מאפייה;חניון מרכזי"),
        ("cp874", "ร้านกาแฟ;เงินเดือน"),
        ("gb18030", "超市购物;工资;ATM取款"),
        ("big5", "便利商店;薪資轉帳"),
        ("shift_jis", "電気料金;コンビニ"),
        ("euc_jp", "電気料金のお支払い;コンビニ"),
        ("euc_kr", "편의점;급여 입금"),
    ],
)
def test_texts_under_an_english_header_tell_their_encoding_by_their_letters(encoding: str, text: str) -> None:
    rows = [f"2024-01-{day:02},{word},-{day}.50" for day, word in enumerate(text.split(";"), 1)]
    data = "\n".join(["Date,Description,Amount", *rows, ""]).encode(encoding)
    assert data.decode(find_encoding(data)) == data.decode(encoding)


def test_line_ends_of_old_macs_show_the_encoding_of_english_texts() -> None:
    text = "Date,Description,Amount\r2024-01-01,Sam’s Diner – café,-3.50\r2024-01-02,“Best” classiﬁed,-2.10\r"
    assert text.encode("mac_roman").decode(find_encoding(text.encode("mac_roman"))) == text
    assert find_encoding(text.replace("ﬁ", "fi").encode("cp1252")) == "cp1252"


def test_lines_that_are_utf8_by_chance_are_not_asked_about() -> None:
    chance = ["2024-01-01,píšťalky,-3.50", "2024-01-02,píšťalky,-4.50", "2024-01-03,účet,-5.50"]
    data = csv_of("Datum,Popis,Částka", *chance).decode().encode("cp1250")
    assert "píšťalky".encode("cp1250").decode() == "p횝alky"  # valid UTF-8
    assert asked(data) == {}
    both = data + "2024-01-04,účet,-6.50\n2024-01-05,účet,-7.50\n".encode()
    assert "encoding" in asked(both)
