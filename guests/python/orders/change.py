"""Of each field another value of its type."""

from datetime import timedelta
from decimal import Decimal

from wit_world.imports.types import (
    About,
    Address,
    Card,
    Change,
    Customer,
    Extra,
    Extra_Array,
    Extra_Boolean,
    Extra_Bytes,
    Extra_Double,
    Extra_Map,
    Extra_Mark,
    Extra_Status,
    Item,
    Order,
    Payment,
    Payment_Card,
    Payment_Long,
    Payment_String,
    Size,
    Status,
)

import bespoke

# Digits after the point.
AMOUNT_SCALE = 2
FEE_SCALE = 4
# Bytes of the fixed that a fee is in.
FEE_BYTES = 8

NEXT_STATUS = {Status.NEW: Status.PACKED, Status.PACKED: Status.IN_TRANSIT, Status.IN_TRANSIT: Status.NEW}
NEXT_SIZE = {None: Size.SMALL, Size.SMALL: Size.LARGE, Size.LARGE: None}
NEXT_CHANNEL = {"WEB": "SHOP", "SHOP": "WEB"}
NANOS_OF_SECOND = 1_000_000_000


def of(order: Order, about: About, step: int) -> Change:
    """The answer to an order."""
    amount = bespoke.decimal_of(order.amount, AMOUNT_SCALE)
    fee = bespoke.decimal_of(order.fee, FEE_SCALE)
    return Change(
        paid=not order.paid,
        count=order.count + step,
        rank=order.rank * 3,
        weight=order.weight * 2,
        ratio=order.ratio * 2,
        total=order.total / 4,
        number=str(int(order.number) + 1),
        note=order.note[::-1],
        mark=order.mark[::-1],
        status=NEXT_STATUS[order.status],
        channel=NEXT_CHANNEL.get(order.channel, order.channel),
        customer=swapped(order.customer),
        coupon="welcome" if order.coupon is None else None,
        gift=None if order.gift is None else order.gift + "!",
        payment=paid_otherwise(order.payment),
        extra=other_extra(order.extra),
        tags=order.tags[::-1],
        items=[more(item) for item in order.items],
        grid=[with_sum(row) for row in order.grid],
        labels=[(text, label) for label, text in order.labels],
        stock=[(part, restocked(stock)) for part, stock in order.stock],
        parts=[(part, more(item)) for part, item in order.parts],
        amount=bespoke.decimal_bytes(amount * 2, AMOUNT_SCALE),
        fee=bespoke.decimal_bytes(fee * 2, FEE_SCALE, FEE_BYTES),
        day=bespoke.days_of(bespoke.date_of(order.day) + timedelta(days=1)),
        created=bespoke.to_millis(bespoke.of_millis(order.created) + timedelta(hours=1)),
        changed=bespoke.to_micros(bespoke.of_micros(order.changed) + timedelta(microseconds=1)),
        exact=str(int(order.exact) + 1),
        words=words(order, amount, fee),
        origin=origin(about, order.weekday),
    )


def swapped(customer: Customer) -> Customer:
    """Lives where they are called, and is called where they live."""
    zip = "00000" if customer.address.zip is None else None
    return Customer(customer.address.street, Address(customer.name, zip))


def paid_otherwise(payment: Payment) -> Payment:
    """The next branch, with what was in this one."""
    if isinstance(payment, Payment_String):
        return Payment_Card(Card(payment.value, 1))
    if isinstance(payment, Payment_Card):
        return Payment_Long(payment.value.limit)
    return Payment_String(str(payment.value))


def other_extra(extra: Extra | None) -> Extra | None:
    """Another branch, with something of what was in this one."""
    if extra is None:
        return Extra_Boolean(True)
    if isinstance(extra, Extra_Boolean):
        return None
    if isinstance(extra, Extra_Double):
        return Extra_Double(-extra.value)
    if isinstance(extra, Extra_Bytes):
        return Extra_Array([f"{byte:02x}" for byte in extra.value])
    if isinstance(extra, Extra_Status):
        return Extra_Status(NEXT_STATUS[extra.value])
    if isinstance(extra, Extra_Mark):
        return Extra_Bytes(extra.value)
    if isinstance(extra, Extra_Array):
        return Extra_Map([(text, index) for index, text in enumerate(extra.value)])
    return Extra_Array([key for key, _ in extra.value])


def more(item: Item) -> Item:
    """One more piece, of the next size and at twice the price."""
    price = bespoke.decimal_of(item.price, AMOUNT_SCALE) * 2
    return Item(item.sku, item.quantity + 1, bespoke.decimal_bytes(price, AMOUNT_SCALE), NEXT_SIZE[item.size])


def with_sum(row: list[float]) -> list[float]:
    # Not `sum`, which loses less than others do.
    total = 0.0
    for number in row:
        total += number
    return [*row, total]


def restocked(stock: int | None) -> int | None:
    """None is no stock, no stock is none, and all other stock is owed."""
    if stock is None:
        return 0
    return -stock if stock else None


def words(order: Order, amount: Decimal, fee: Decimal) -> list[str]:
    """Dates, times, decimals and the span, as people read them."""
    seconds, nanos = divmod(int(order.exact), NANOS_OF_SECOND)
    months, days, millis = bespoke.duration_of(order.span)
    return [
        bespoke.date_of(order.day).isoformat(),
        bespoke.time_of_millis(order.opens).isoformat("milliseconds"),
        bespoke.time_of_micros(order.closes).isoformat("microseconds"),
        in_utc(bespoke.of_millis(order.created).isoformat(timespec="milliseconds")),
        in_utc(bespoke.of_micros(order.changed).isoformat(timespec="microseconds")),
        bespoke.of_millis(order.local).replace(tzinfo=None).isoformat(timespec="milliseconds"),
        f"{bespoke.of_millis(seconds * 1000).replace(tzinfo=None).isoformat()}.{nanos:09}Z",
        f"{amount:f}",
        f"{fee:f}",
        f"{months} months {days} days {millis} ms",
    ]


def in_utc(moment: str) -> str:
    return moment.replace("+00:00", "Z")


def origin(about: About, weekday: str | None) -> str:
    """Where a record is from, in one line."""
    key = "-" if about.key is None else about.key.hex()
    headers = "".join(f" {name}={value.hex()}" for name, value in about.headers)
    place = f"{about.topic}/{about.partition}/{about.offset} {about.timestamp}"
    return f"{place} {key}{headers} {'no weekday' if weekday is None else weekday}"
