"""What is decided about an offer: functions without state, called by module.py and tested by plain Python."""

import re

# A number that is written with digits alone.
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)


def total(price: float, quantity: int) -> float:
    """The price of all pieces."""
    return price * quantity


def refusal(offer: str, price: float) -> str | None:
    """Why an offer is refused; None if it is not."""
    return None if price > 0 else f"offer `{offer}` has no price"


def whole(text: str) -> int | None:
    """The number that is written with digits alone; None if it is not."""
    return int(text) if _WHOLE.fullmatch(text) else None


def least(settings: list[tuple[str, str]]) -> int:
    """Reads the module's settings: the quantity below which an offer is dropped. Raises a ValueError with what is wrong."""
    least = 1
    for name, value in settings:
        if name != "least":
            raise ValueError(f"there is no setting `{name}`; this module knows `least`")
        number = whole(value)
        if number is None:
            raise ValueError(f"`least` must be a whole number, not `{value}`")
        least = number
    return least
