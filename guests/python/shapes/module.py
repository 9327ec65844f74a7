"""A function for each shape that an answer can have, over offers. A stage calls `process`, the tests call all.

What is decided about an offer stands in offer.py. The module counts the offers, which is its state, as text.
"""

import wit_world
from componentize_py_types import Err, Ok, Result
from wit_world.imports.types import Offer, Offers, Output, Place, Refusal, Sum, Summary, Sums, Total, Totals

import offer

least = 1
seen = 0


class WitWorld(wit_world.WitWorld):
    def configure(self, settings: list[tuple[str, str]]) -> None:
        global least
        try:
            least = offer.least(settings)
        except ValueError as error:
            raise Err(str(error)) from None

    def process(self, records: list[Offer]) -> list[Total]:
        return [total(record) for record in records]

    def process_options(self, records: list[Offer]) -> list[Total | None]:
        totals = [total(record) for record in records]
        return [total if is_enough(record) else None for record, total in zip(records, totals)]

    def process_results(self, records: list[Offer]) -> list[Result[Total, str]]:
        return [checked(record) for record in records]

    def process_whole(self, records: list[Offer]) -> list[Result[Total | None, str]]:
        have_ids(records)
        answers: list[Result[Total | None, str]] = []
        for record in records:
            answer, reason = total(record), offer.refusal(record.id, record.price)
            if reason is not None:
                answers.append(Err(reason))
            else:
                answers.append(Ok(answer if is_enough(record) else None))
        return answers

    def process_filter(self, records: list[Offer]) -> list[bool]:
        count(len(records))
        return [is_enough(record) for record in records]

    def process_validator(self, records: list[Offer]) -> list[Result[None, str]]:
        count(len(records))
        reasons = [offer.refusal(record.id, record.price) for record in records]
        return [Ok(None) if reason is None else Err(reason) for reason in reasons]

    def process_columns(self, records: Offers) -> Totals:
        before = seen
        return Totals(
            total=[offer.total(price, quantity) for price, quantity in zip(records.price, records.quantity)],
            seen=list(range(before + 1, count(len(records.price)) + 1)),
            note=["no note" if note is None else None for note in records.note],
        )

    def analyze_rows(self, records: list[Offer], meta: list[Place]) -> list[Summary]:
        count(len(records))
        enough = [(record, place) for record, place in zip(records, meta) if is_enough(record)]
        if not enough:
            return []
        sum = 0.0
        for record, _ in enough:
            sum += offer.total(record.price, record.quantity)
        (_, first), (_, last) = enough[0], enough[-1]
        return [Summary(len(enough), sum, seen, first.partition, first.offset, last.offset)]

    def analyze_columns(self, records: list[Offer]) -> Sums:
        count(len(records))
        enough = [record for record in records if is_enough(record)]
        return Sums([record.id for record in enough], [offer.total(record.price, record.quantity) for record in enough])

    def analyze_whole(self, records: list[Offer]) -> Output:
        have_ids(records)
        count(len(records))
        output = Output(sums=[], refusals=[])
        for record in records:
            reason = offer.refusal(record.id, record.price)
            if reason is None:
                output.sums.append(Sum(record.id, offer.total(record.price, record.quantity)))
            else:
                output.refusals.append(Refusal(record.id, reason))
        return output

    def snapshot(self) -> str:
        return str(seen)

    def restore(self, state: str) -> None:
        global seen
        number = offer.whole(state)
        if number is None:
            raise Err(f"the state `{state}` is no number")
        seen = number


def count(offers: int) -> int:
    """Counts this many offers more. Returns how many came so far."""
    global seen
    seen += offers
    return seen


def total(record: Offer) -> Total:
    return Total(total=offer.total(record.price, record.quantity), seen=count(1))


def checked(record: Offer) -> Result[Total, str]:
    if record.id == "trap":
        raise RuntimeError("told to trap")
    answer, reason = total(record), offer.refusal(record.id, record.price)
    return Ok(answer) if reason is None else Err(reason)


def is_enough(record: Offer) -> bool:
    return record.quantity >= least


def have_ids(records: list[Offer]) -> None:
    if any(record.id == "" for record in records):
        raise Err("an offer has no id")
