"""Events of banks: open banking APIs, ISO 20022, and a bank's own table through Debezium."""

from __future__ import annotations

import base64

from tests.topic_shapes import CURRENCIES, Document, Shape, cents, day, decimal, instant, merchant, second


def _plaid(n: int) -> Document:
    return {
        "account_id": f"BxBXxLj1m4HMXBm9WZ{n % 3}",
        "account_owner": None,
        "amount": float(decimal(n)) * (-1 if n % 5 == 0 else 1),
        "authorized_date": day(n),
        "authorized_datetime": instant(n),
        "category_id": "13005000",
        "counterparties": [{"name": merchant(n), "type": "merchant", "confidence_level": "HIGH"}],
        "date": day(n),
        "datetime": instant(n),
        "iso_currency_code": "USD",
        "location": {"city": "Berkeley", "country": "US", "region": "CA"},
        "merchant_name": merchant(n),
        "name": f"{merchant(n).upper()} #{n}",
        "payment_channel": ("in store", "online")[n % 2],
        "pending": False,
        "pending_transaction_id": None,
        "personal_finance_category": {"primary": "FOOD_AND_DRINK", "detailed": "FOOD_AND_DRINK_COFFEE"},
        "transaction_id": f"lPNjeW1nR6CDn5okmGQ6hEpMo4lLNo{n:04d}",
        "unofficial_currency_code": None,
    }


def _iso_20022(n: int) -> Document:
    debit = n % 3 != 0
    return {
        "BkToCstmrDbtCdtNtfctn": {
            "GrpHdr": {"MsgId": f"MSG{n:06d}", "CreDtTm": instant(n)},
            "Ntfctn": {
                "Id": f"NTF{n:06d}",
                "Acct": {"Id": {"IBAN": "DE75512108001245126199"}, "Ccy": "EUR"},
                "Ntry": {
                    "NtryRef": f"ENT{n:09d}",
                    "Amt": {"Ccy": "EUR", "value": decimal(n)},
                    "CdtDbtInd": "DBIT" if debit else "CRDT",
                    "Sts": {"Cd": "BOOK"},
                    "BookgDt": {"DtTm": instant(n)},
                    "AcctSvcrRef": f"REF{n:09d}",
                    "NtryDtls": {"TxDtls": {"RltdPties": {"Cdtr": {"Pty": {"Nm": merchant(n)}}}}},
                },
            },
        }
    }


def _open_banking_uk(n: int) -> Document:
    return {
        "AccountId": "22289",
        "TransactionId": f"TX{n:09d}",
        "TransactionReference": f"Ref {n}",
        "Amount": {"Amount": decimal(n), "Currency": "GBP"},
        "CreditDebitIndicator": "Debit" if n % 3 else "Credit",
        "Status": "Booked",
        "BookingDateTime": instant(n).replace("Z", "+00:00"),
        "ValueDateTime": instant(n).replace("Z", "+00:00"),
        "TransactionInformation": f"Card payment {n}",
        "BankTransactionCode": {"Code": "ReceivedCreditTransfer", "SubCode": "DomesticCreditTransfer"},
        "Balance": {
            "Amount": {"Amount": "230.00", "Currency": "GBP"},
            "CreditDebitIndicator": "Credit",
            "Type": "InterimBooked",
        },
        "MerchantDetails": {"MerchantName": merchant(n), "MerchantCategoryCode": "5812"},
    }


def _berlin_group(n: int) -> Document:
    sign = "-" if n % 3 else ""
    return {
        "transactionId": f"{1_234_500 + n}",
        "creditorName": merchant(n),
        "creditorAccount": {"iban": f"DE7551210800124512{n:04d}"},
        "transactionAmount": {"currency": "EUR", "amount": f"{sign}{decimal(n)}"},
        "bookingDate": day(n),
        "valueDate": day(n),
        "remittanceInformationUnstructured": f"Invoice {n}",
        "bankTransactionCode": "PMNT-RCDT-ESCT",
    }


def _debezium(n: int) -> Document:
    minor = cents(n) * (-1 if n % 3 else 1)
    amount = base64.b64encode(minor.to_bytes(8, "big", signed=True)).decode()
    row = [
        {"type": "int64", "optional": False, "field": "id"},
        {"type": "string", "optional": False, "field": "iban"},
        {
            "type": "bytes", "optional": False, "field": "amount", "version": 1,
            "name": "org.apache.kafka.connect.data.Decimal",
            "parameters": {"scale": "2", "connect.decimal.precision": "18"},
        },
        {"type": "string", "optional": False, "field": "currency"},
        {"type": "int64", "optional": False, "field": "booked_at", "name": "io.debezium.time.MicroTimestamp"},
        {"type": "string", "optional": True, "field": "counterparty"},
    ]  # fmt: skip
    after = {
        "id": 90_000 + n, "iban": "DE75512108001245126199", "amount": amount, "currency": CURRENCIES[n % 3],
        "booked_at": second(n) * 1_000_000, "counterparty": merchant(n),
    }  # fmt: skip
    return {
        "schema": {
            "type": "struct", "optional": False, "name": "bank.public.payments.Envelope",
            "fields": [
                {"type": "struct", "optional": True, "field": "before", "fields": row},
                {"type": "struct", "optional": True, "field": "after", "fields": row},
                {"type": "struct", "optional": False, "field": "source", "fields": []},
                {"type": "string", "optional": False, "field": "op"},
                {"type": "int64", "optional": True, "field": "ts_ms"},
            ],
        },
        "payload": {
            "before": None, "after": after, "op": "r" if n < 3 else "c", "ts_ms": second(n) * 1000 + 5,
            "source": {"version": "2.7.0.Final", "connector": "postgresql", "name": "bank", "table": "payments"},
        },
    }  # fmt: skip


def _signed(n: int) -> str:
    return f"-{decimal(n)}" if n % 3 else decimal(n)


SHAPES = (
    Shape(
        "plaid",
        "https://plaid.com/docs/api/products/transactions/#transactionssync",
        _plaid,
        lambda n: {
            "transaction_id": f"lPNjeW1nR6CDn5okmGQ6hEpMo4lLNo{n:04d}", "currency": "USD", "merchant": merchant(n),
            "amount": f"-{decimal(n)}" if n % 5 == 0 else decimal(n),
        },
        attributes=lambda n: {"pending": False},
    ),
    Shape(
        "iso-20022",
        "https://www.iso20022.org/iso-20022-message-definitions (camt.054, BankToCustomerDebitCreditNotification)",
        _iso_20022,
        lambda n: {"amount": _signed(n), "occurred_at": instant(n), "currency": "EUR"},
    ),
    Shape(
        "open-banking-uk",
        "https://openbankinguk.github.io/read-write-api-site3/v3.1.11/resources-and-data-models/aisp/Transactions.html",
        _open_banking_uk,
        lambda n: {
            "transaction_id": f"TX{n:09d}", "amount": _signed(n), "occurred_at": instant(n), "currency": "GBP",
            "merchant": merchant(n),
        },
        attributes=lambda n: {"Balance": {
            "Amount": {"Amount": "230.00", "Currency": "GBP"}, "CreditDebitIndicator": "Credit",
            "Type": "InterimBooked",
        }},
    ),
    Shape(
        "berlin-group",
        "https://www.berlin-group.org/nextgenpsd2-downloads (transactionDetails)",
        _berlin_group,
        lambda n: {
            "transaction_id": f"{1_234_500 + n}", "amount": _signed(n), "currency": "EUR", "merchant": merchant(n),
            "occurred_at": f"{day(n)}T00:00:00Z",
        },
    ),
    Shape(
        "debezium",
        "https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-events",
        _debezium,
        lambda n: {
            "transaction_id": f"{90_000 + n}", "amount": _signed(n), "occurred_at": instant(n),
            "currency": CURRENCIES[n % 3],
        },
    ),
)  # fmt: skip
