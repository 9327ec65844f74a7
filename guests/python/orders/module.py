"""Reads an order, which has a field of each type of Avro, and answers another: what each type becomes in Python.

This file joins the rest to the contract in wit/orders.wit: change.py makes of each field another value of its type, and
bespoke turns numbers and bytes into dates, times and decimals, and back.
"""

import re

import wit_world
from componentize_py_types import Err, Ok, Result
from wit_world.imports import logging
from wit_world.imports.types import About, Change, Order

import change

CONTEXT = "orders"
# A number that is written with digits alone.
WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)

step = 1


class WitWorld(wit_world.WitWorld):
    def configure(self, settings: list[tuple[str, str]]) -> None:
        global step
        for name, value in settings:
            if name != "step":
                raise Err(f"there is no setting `{name}`; this module knows `step`")
            if not WHOLE.fullmatch(value):
                raise Err(f"`step` must be a whole number, not `{value}`")
            step = int(value)
        logging.log(logging.Level.INFO, CONTEXT, f"the step is {step}")

    def process(self, records: list[Order], meta: list[About]) -> list[Result[Change | None, str]]:
        return [answer(order, about) for order, about in zip(records, meta)]


def answer(order: Order, about: About) -> Result[Change | None, str]:
    if order.count < 0:
        reason = f"order {order.id} has a count below zero"
        logging.log(logging.Level.WARN, CONTEXT, reason)
        return Err(reason)
    if order.coupon == "void":
        return Ok(None)
    return Ok(change.of(order, about, step))
