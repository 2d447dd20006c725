"""The vocabulary, language by language and domain by domain, and what must not be taken for a field."""

from __future__ import annotations

import pytest

from rtp_workers.mapping.cells.names import compact, normalise
from rtp_workers.mapping.columns import vocabulary

BY_LANGUAGE: dict[str, dict[str, str]] = {
    "en": {"Transaction Date": "occurred_at", "Amount": "amount", "Payee": "merchant", "Account Number": "customer_id"},
    "de": {
        "Buchungstag": "occurred_at",
        "Betrag": "amount",
        "Auftraggeber/Empfänger": "merchant",
        "Währung": "currency",
    },
    "fr": {"Date opération": "occurred_at", "Montant": "amount", "Libellé": "merchant", "Devise": "currency"},
    "es": {"Fecha operación": "occurred_at", "Importe": "amount", "Concepto": "merchant", "Divisa": "currency"},
    "pt": {"Data da transação": "occurred_at", "Valor": "amount", "Descrição": "merchant", "Moeda": "currency"},
    "nl": {"Boekdatum": "occurred_at", "Bedrag": "amount", "Naam tegenpartij": "merchant", "Af Bij": "direction"},
    "it": {"Data operazione": "occurred_at", "Importo": "amount", "Esercente": "merchant", "Causale": "merchant"},
    "hu": {"Könyvelés dátuma": "occurred_at", "Összeg": "amount", "Partner neve": "merchant", "Devizanem": "currency"},
    "pl": {"Data transakcji": "occurred_at", "Kwota": "amount", "Odbiorca": "merchant", "Waluta": "currency"},
    "cs": {"Datum provedení": "occurred_at", "Částka": "amount", "Název protiúčtu": "merchant", "Měna": "currency"},
    "sv": {"Bokföringsdag": "occurred_at", "Belopp": "amount", "Mottagare": "merchant", "Valuta": "currency"},
    "da": {"Bogføringsdato": "occurred_at", "Beløb": "amount", "Modtager": "merchant", "Valuta": "currency"},
    "fi": {"Kirjauspäivä": "occurred_at", "Määrä": "amount", "Saaja/Maksaja": "merchant", "Tila": "status"},
    "tr": {"İşlem Tarihi": "occurred_at", "Tutar": "amount", "Açıklama": "merchant", "Para Birimi": "currency"},
    "ru": {"Дата операции": "occurred_at", "Сумма": "amount", "Получатель": "merchant", "Валюта": "currency"},
    "lv": {"Datums": "occurred_at", "Summa": "amount", "Saņēmējs/Maksātājs": "merchant", "Valūta": "currency"},
    "zh": {"交易时间": "occurred_at", "金额(元)": "amount", "交易对方": "merchant", "收/支": "direction"},
    "ja": {"利用日": "occurred_at", "利用金額": "amount", "利用店名・商品名": "merchant", "支払方法": "payment_method"},
    "ko": {"거래일시": "occurred_at", "거래금액": "amount", "가맹점명": "merchant", "통화": "currency"},
}
BY_DOMAIN: dict[str, dict[str, str]] = {
    "cards": {"cc_num": "customer_id", "trans_num": "transaction_id", "mcc": "category", "use_chip": "payment_method"},
    "fraud": {"nameOrig": "customer_id", "nameDest": "merchant", "step": "step", "TransactionDT": "step"},
    "processors": {"balance_transaction_id": "transaction_id", "Psp Reference": "transaction_id", "gross": "amount"},
    "shops": {"order_purchase_timestamp": "occurred_at", "Financial Status": "status", "Order Total": "amount"},
    "mobile money": {"Receipt No.": "transaction_id", "Paid In": "credit", "Withdrawn": "debit"},
    "crypto": {"txid": "transaction_id", "Spot Price Currency": "currency"},
}


@pytest.mark.parametrize(("domain", "names"), [*BY_LANGUAGE.items(), *BY_DOMAIN.items()])
def test_the_vocabulary_knows_the_names_of(domain: str, names: dict[str, str]) -> None:
    assert {name: vocabulary.best_role(name)[0] for name in names} == names


@pytest.mark.parametrize(
    "name",
    [
        "Running Balance",
        "Saldo na trn",
        "Fee",
        "Tax amount",
        "Exchange Rate",
        "merchant_city",
        "isFraud",
        "Kontostand",
        "Date of Birth",
        "Original amount",
        "BIC",
        "oldbalanceOrg",
        "Shipping",
        "余额",
        "残高",
        "Unnamed: 0",
    ],
)
def test_what_is_no_field_is_known_as_that(name: str) -> None:
    assert vocabulary.best_role(name)[0] in vocabulary.DECOYS


@pytest.mark.parametrize(
    ("spelling", "other"),
    [
        ("transactionDate", "Transaction date"),
        ("TRANSACTION_DATE", "transaction-date"),
        ("Währung", "wahrung"),
        ("Beløb", "belob"),
        ("金额（元）", "金额(元)"),
        ("  Amount: ", "amount"),
    ],
)
def test_case_accents_punctuation_and_camel_case_do_not_matter(spelling: str, other: str) -> None:
    assert compact(spelling) == compact(other)


def test_cjk_names_keep_their_characters() -> None:
    assert normalise("거래일시") == "거래일시"
    assert normalise("ご利用日") == "ご利用日"


def test_value_date_loses_against_booking_date_against_transaction_date() -> None:
    value, booking, transaction = (
        vocabulary.score(name, "occurred_at").score for name in ("Value Date", "Booking Date", "Transaction Date")
    )
    assert value < booking < transaction


@pytest.mark.parametrize("name", ["Amount (tip)", "Fee amount", "amount refunded", "Betrag Fremdwährung"])
def test_a_spoiling_word_keeps_a_longer_name_from_being_the_amount(name: str) -> None:
    assert vocabulary.score(name, "amount").score < 0.5
