"""The first stage of the product feed: it normalises the category, rejects impossible prices with a reason, and adds a
discount and a price band.

This file joins the logic of product.py to the contract in wit/processor.wit. The module keeps nothing from one record to
the next; its settings are the only state.
"""

import wit_world
from componentize_py_types import Err, Ok, Result
from wit_world.imports.types import Change, PriceBand, Product

import product

BANDS = {"budget": PriceBand.BUDGET, "standard": PriceBand.STANDARD, "premium": PriceBand.PREMIUM}

dropped: frozenset[str] = frozenset()


class WitWorld(wit_world.WitWorld):
    def configure(self, settings: list[tuple[str, str]]) -> None:
        global dropped
        try:
            dropped = product.dropped_categories(settings)
        except ValueError as error:
            raise Err(str(error)) from None

    def process(self, records: list[Product]) -> list[Result[Change | None, str]]:
        return [answer(record) for record in records]


def answer(record: Product) -> Result[Change | None, str]:
    reason = product.refuse_price(record.price)
    if reason is not None:
        return Err(reason)
    category = product.normalise(record.category)
    if not category:
        return Err("the category is empty")
    if category in dropped:
        return Ok(None)
    return Ok(Change(category, product.discount(record.quantity), BANDS[product.price_band(record.price)]))
