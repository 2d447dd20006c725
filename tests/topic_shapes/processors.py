"""Events of payment processors."""

from __future__ import annotations

from tests.topic_shapes import CURRENCIES, Document, Shape, cents, decimal, instant, merchant, second

MINOR = ('amount_unit = "minor"',)


def _stripe_charge(n: int) -> Document:
    return {
        "id": f"ch_3Qx{n:08d}",
        "object": "charge",
        "amount": cents(n),
        "amount_captured": cents(n),
        "amount_refunded": 0,
        "application_fee_amount": None,
        "balance_transaction": f"txn_1Qx{n:08d}",
        "billing_details": {
            "address": {"city": "Berlin", "country": "DE", "postal_code": "10115"},
            "email": f"buyer{n}@example.com",
            "name": f"Buyer {n}",
        },
        "calculated_statement_descriptor": merchant(n).upper(),
        "captured": True,
        "created": second(n),
        "currency": CURRENCIES[n % 3].lower(),
        "customer": f"cus_{n % 7:06d}",
        "description": None,
        "disputed": False,
        "livemode": False,
        "metadata": {"order": f"o-{n}"},
        "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "risk_score": 32},
        "paid": True,
        "payment_intent": f"pi_{n:08d}",
        "payment_method": f"pm_{n % 7:06d}",
        "payment_method_details": {"card": {"brand": "visa", "last4": "4242", "country": "DE"}, "type": "card"},
        "refunded": False,
        "status": ("succeeded", "failed", "pending")[n % 3],
    }


def _stripe_balance(n: int) -> Document:
    fee = 30 + n
    return {
        "id": f"txn_1Qx{n:08d}",
        "object": "balance_transaction",
        "amount": cents(n) if n % 4 else -cents(n),
        "available_on": second(n) + 172_800,
        "created": second(n),
        "currency": CURRENCIES[n % 3].lower(),
        "description": f"Payment for order {n}",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{"amount": fee, "currency": "eur", "type": "stripe_fee"}],
        "net": cents(n) - fee,
        "reporting_category": ("charge", "refund", "payout")[n % 3],
        "source": f"ch_3Qx{n:08d}",
        "status": ("available", "pending")[n % 2],
        "type": ("charge", "refund", "payout")[n % 3],
    }


def _adyen(n: int) -> Document:
    return {
        "live": "false",
        "notificationItems": [
            {
                "NotificationRequestItem": {
                    "additionalData": {"cardSummary": "1111", "expiryDate": "03/2030"},
                    "amount": {"currency": CURRENCIES[n % 3], "value": cents(n)},
                    "eventCode": ("AUTHORISATION", "CAPTURE", "REFUND")[n % 3],
                    "eventDate": instant(n).replace("Z", "+00:00"),
                    "merchantAccountCode": "ExampleShopECOM",
                    "merchantReference": f"order-{n}",
                    "paymentMethod": ("visa", "mc", "ideal")[n % 3],
                    "pspReference": f"QFQTPCQ8HX{n:06d}",
                    "reason": "033899:1111:03/2030",
                    "success": "true",
                }
            }
        ],
    }


def _paypal(n: int) -> Document:
    return {
        "id": f"WH-{n:017d}",
        "create_time": instant(n),
        "resource_type": "capture",
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "summary": f"Payment completed for {decimal(n)}",
        "resource": {
            "id": f"2GG279541U{n:07d}",
            "amount": {"currency_code": CURRENCIES[n % 3], "value": decimal(n)},
            "final_capture": True,
            "seller_protection": {"status": "ELIGIBLE"},
            "seller_receivable_breakdown": {
                "gross_amount": {"currency_code": CURRENCIES[n % 3], "value": decimal(n)},
                "paypal_fee": {"currency_code": CURRENCIES[n % 3], "value": "0.59"},
            },
            "status": ("COMPLETED", "PENDING")[n % 2],
            "create_time": instant(n),
            "update_time": instant(n),
            "links": [{"href": "https://api.paypal.com/v2/payments/captures/1", "rel": "self", "method": "GET"}],
        },
    }


def _square(n: int) -> Document:
    money = {"amount": cents(n), "currency": "USD"}
    return {
        "merchant_id": "6SSW7HV8K2ST5",
        "type": "payment.created",
        "event_id": f"13b867cf-db3d-4b1c-90b6-{n:012d}",
        "created_at": instant(n),
        "data": {
            "type": "payment",
            "id": f"hYy9pRFVxpDsO1FB05{n:06d}",
            "object": {
                "payment": {
                    "id": f"hYy9pRFVxpDsO1FB05{n:06d}",
                    "created_at": instant(n),
                    "updated_at": instant(n),
                    "amount_money": money,
                    "total_money": money,
                    "card_details": {"card": {"card_brand": "VISA", "last_4": "2796"}, "entry_method": "EMV"},
                    "customer_id": f"CUST{n % 9:04d}",
                    "location_id": "S8GWD5R9QB376",
                    "order_id": f"03O3USaPaAaFnI6kk{n:06d}",
                    "receipt_number": f"hYy9{n}",
                    "source_type": ("CARD", "CASH")[n % 2],
                    "status": ("COMPLETED", "APPROVED")[n % 2],
                }
            },
        },
    }


def _wallet(n: int) -> Document:
    return {
        "Id": f"tr-{1_000_000 + n}",
        "Tag": "custom meta",
        "CreationDate": second(n),
        "AuthorId": f"u-{n % 8}",
        "CreditedUserId": f"u-{(n + 1) % 8}",
        "DebitedFunds": {"Currency": "EUR", "Amount": cents(n)},
        "CreditedFunds": {"Currency": "EUR", "Amount": cents(n) - 10},
        "Fees": {"Currency": "EUR", "Amount": 10},
        "Status": ("SUCCEEDED", "CREATED")[n % 2],
        "ResultCode": "000000",
        "Type": "TRANSFER",
        "Nature": "REGULAR",
        "DebitedWalletId": f"w-{n % 8}",
        "CreditedWalletId": f"w-{(n + 1) % 8}",
    }


def _paid(n: int) -> dict[str, str | None]:
    return {"amount": decimal(n), "occurred_at": instant(n), "currency": CURRENCIES[n % 3]}


SHAPES = (
    Shape(
        "stripe-charge",
        "https://docs.stripe.com/api/charges/object",
        _stripe_charge,
        lambda n: {
            **_paid(n), "transaction_id": f"ch_3Qx{n:08d}", "customer_id": f"cus_{n % 7:06d}",
            "status": ("succeeded", "failed", "pending")[n % 3],
        },
        ("amount",), MINOR, lambda n: {"metadata": {"order": f"o-{n}"}},
    ),
    Shape(
        "stripe-balance",
        "https://docs.stripe.com/api/balance_transactions/object",
        _stripe_balance,
        lambda n: {
            **_paid(n), "amount": decimal(n) if n % 4 else f"-{decimal(n)}", "transaction_id": f"txn_1Qx{n:08d}",
        },
        ("amount",), MINOR, lambda n: {"net": cents(n) - 30 - n},
    ),
    Shape(
        "adyen",
        "https://docs.adyen.com/development-resources/webhooks/webhook-types",
        _adyen,
        lambda n: {**_paid(n), "transaction_id": f"QFQTPCQ8HX{n:06d}"},
        ("amount",), MINOR, lambda n: {"live": "false"},
    ),
    Shape(
        "paypal",
        "https://developer.paypal.com/docs/api/payments/v2/#captures_get",
        _paypal,
        lambda n: {**_paid(n), "status": ("COMPLETED", "PENDING")[n % 2]},
        attributes=lambda n: {"event_type": "PAYMENT.CAPTURE.COMPLETED"},
    ),
    Shape(
        "square",
        "https://developer.squareup.com/reference/square/objects/Payment",
        _square,
        lambda n: {**_paid(n), "currency": "USD", "customer_id": f"CUST{n % 9:04d}"},
        ("amount",), MINOR,
    ),
    Shape(
        "wallet",
        "https://docs.mangopay.com/api-reference/transfers/transfer-object",
        _wallet,
        lambda n: {**_paid(n), "currency": "EUR", "transaction_id": f"tr-{1_000_000 + n}"},
        ("amount",), ('columns.amount = "DebitedFunds.Amount"', 'columns.currency = "DebitedFunds.Currency"', *MINOR),
        lambda n: {"Fees": {"Currency": "EUR", "Amount": 10}},
    ),
)  # fmt: skip
