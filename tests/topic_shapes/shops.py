"""Events of shops, machines and demonstrations."""

from __future__ import annotations

from tests.topic_shapes import Document, Shape, decimal, instant


def _shopify(n: int) -> Document:
    return {
        "id": 389_404_469 + n,
        "order_id": 450_789_469 + n,
        "amount": decimal(n),
        "kind": ("sale", "capture", "refund")[n % 3],
        "gateway": "shopify_payments",
        "status": ("success", "failure")[n % 2],
        "message": None,
        "created_at": instant(n).replace("Z", "+00:00"),
        "test": False,
        "parent_id": None,
        "location_id": None,
        "device_id": None,
        "source_name": "web",
        "processed_at": instant(n).replace("Z", "+00:00"),
        "currency": "CAD",
        "payment_details": {"credit_card_bin": "424242", "credit_card_company": "Visa"},
        "admin_graphql_api_id": f"gid://shopify/OrderTransaction/{389_404_469 + n}",
    }


def _receipt(n: int) -> Document:
    total = float(decimal(n))
    return {
        "receipt_number": f"2-{1_000 + n}",
        "receipt_type": "SALE",
        "created_at": instant(n),
        "receipt_date": instant(n),
        "source": "point of sale",
        "total_money": total,
        "total_tax": round(total * 0.07, 2),
        "customer_id": f"c-{n % 6}",
        "store_id": "42dc2cec-6f40-11ea-bde9-1269e7c5a22d",
        "line_items": [
            {"item_name": "Espresso", "sku": "10001", "quantity": 2, "price": 2.5, "total_money": 5.0},
            {"item_name": "Croissant", "sku": "10002", "quantity": 1, "price": 3.1, "total_money": 3.1},
        ],
        "payments": [{"payment_type_id": "42dd2a55", "name": ("Card", "Cash")[n % 2], "money_amount": total}],
    }


def _vending(n: int) -> Document:
    return {
        "EventId": f"evt-{n:08d}",
        "EventType": "VendingAuditEventType",
        "SourceName": f"urn:VENDOR:MACHINE:{n % 5}",
        "Time": instant(n),
        "ReceiveTime": instant(n),
        "InMaintenanceMode": False,
        "Category": "SaleCashless",
        "Counter": 4,
        "MonetaryValue": {
            "Amount": float(decimal(n)),
            "Currency": {"NumericCode": 978, "Exponent": 2, "AlphabeticCode": "EUR", "Currency": "Euro"},
        },
    }


def _datagen(n: int) -> Document:
    return {
        "transaction_id": n + 1,
        "card_id": 1 + n % 24,
        "user_id": f"User_{n % 9}",
        "purchase_id": n,
        "store_id": 1 + n % 7,
    }


SHAPES = (
    Shape(
        "shopify",
        "https://shopify.dev/docs/api/admin-rest/latest/resources/transaction",
        _shopify,
        lambda n: {
            "transaction_id": str(389_404_469 + n), "amount": decimal(n), "occurred_at": instant(n), "currency": "CAD",
            "status": ("success", "failure")[n % 2],
        },
        attributes=lambda n: {"gateway": "shopify_payments", "payment_details": {"credit_card_bin": "424242"}},
    ),
    Shape(
        "receipt",
        "https://developer.loyverse.com/docs/#tag/Receipts",
        _receipt,
        lambda n: {"transaction_id": f"2-{1_000 + n}", "amount": str(float(decimal(n))), "customer_id": f"c-{n % 6}"},
        attributes=lambda n: {"line_items": _receipt(n)["line_items"]},
    ),
    Shape(
        "vending",
        "https://reference.opcfoundation.org/specs/OPC-30210-1/7.27.3",
        _vending,
        lambda n: {"transaction_id": f"evt-{n:08d}", "currency": "EUR", "occurred_at": instant(n)},
    ),
    Shape(
        "datagen",
        "https://github.com/confluentinc/kafka-connect-datagen/blob/master/src/main/resources/transactions.avro",
        _datagen,
        asked=("occurred_at", "amount"),
        consumable=False,
    ),
)  # fmt: skip
