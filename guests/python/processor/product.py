"""What the processor knows of products: functions without state, called by module.py and tested in plain Python."""

import math
import re
from decimal import Decimal

# A price above this is a mistake of the shop, in euro.
MAX_PRICE = 1e7

# The smallest quantity of each discount, the largest first, and the share of the price that it takes off.
DISCOUNTS = [(100, 0.10), (50, 0.05), (10, 0.02)]

# Prices below this are in the band "budget", in euro; prices from the other on in the band "premium".
STANDARD_FROM = 20.0
PREMIUM_FROM = 100.0

# What Unicode calls white space. str.split() also takes some control characters for it.
SPACES = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")

# Text that is normal already, as nearly all is.
NORMAL = re.compile("[!-@[-~]*").fullmatch


def refuse_price(price: float) -> str | None:
    """Why no product can have this price; None if one can."""
    if not math.isfinite(price):
        return f"the price {number(price)} is not a finite number"
    if price <= 0.0:
        return f"the price {number(price)} is not above zero"
    if price > MAX_PRICE:
        return f"the price {number(price)} is above the limit of {number(MAX_PRICE)}"
    return None


def normalise(category: str) -> str:
    """Trims, lower-cases, and turns each run of inner white space into one hyphen."""
    if NORMAL(category):
        return category
    return "-".join(word for word in SPACES.split(category.lower()) if word)


def discount(quantity: int) -> float:
    """The share of the price that is taken off for this quantity."""
    for least, share in DISCOUNTS:
        if quantity >= least:
            return share
    return 0.0


def price_band(price: float) -> str:
    """Where a price stands among all."""
    if price < STANDARD_FROM:
        return "budget"
    return "standard" if price < PREMIUM_FROM else "premium"


def dropped_categories(settings: list[tuple[str, str]]) -> frozenset[str]:
    """Reads the module's settings: the categories, normalised, whose records are dropped."""
    dropped = set()
    for name, value in settings:
        if name != "drop_categories":
            raise ValueError(f"there is no setting `{name}`; the processor knows `drop_categories`")
        dropped.update(normalise(category) for category in value.split(","))
    return frozenset(dropped - {""})


def number(value: float) -> str:
    """A number with as many digits as tell it from all others, and no exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return format(Decimal(repr(value)), "f").removesuffix(".0")
