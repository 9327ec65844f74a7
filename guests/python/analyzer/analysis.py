"""The analysis itself: one record after the other, in order. Called by module.py, and tested in plain Python.

Mean and deviation follow Welford, who adds one sample at a time without the loss of digits that the sum of squares has
(Technometrics 4(3), 1962). A price is judged by those before it, so that an outlier cannot hide itself.
"""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import state
from state import Table

# Numbers as the settings may have them: float() also takes "1_0", " 1" and other digits.
NUMBER = re.compile(r"[+-]?(?:inf|infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.IGNORECASE)
WHOLE = re.compile(r"\+?[0-9]+")
MAX_WHOLE = 2**32 - 1


@dataclass(frozen=True)
class Settings:
    """What a user may set."""

    # The z-score beyond which a price is an outlier.
    threshold: float = 3.0
    # How many prices a category needs before any is judged.
    min_samples: int = 30

    @classmethod
    def parse(cls, settings: list[tuple[str, str]]) -> "Settings":
        """Reads what the pipeline sets; what it does not keeps its default."""
        threshold, min_samples = cls.threshold, cls.min_samples
        for name, value in settings:
            if name == "threshold":
                if not NUMBER.fullmatch(value) or not float(value) > 0.0:
                    raise ValueError(f"`threshold` must be a number above 0, not `{value}`")
                threshold = float(value)
            elif name == "min_samples":
                if not WHOLE.fullmatch(value) or not 2 <= int(value) <= MAX_WHOLE:
                    raise ValueError(f"`min_samples` must be a whole number from 2 on, not `{value}`")
                min_samples = int(value)
            else:
                raise ValueError(f"there is no setting `{name}`; the analyzer knows `threshold` and `min_samples`")
        return cls(threshold, min_samples)


class Seen(NamedTuple):
    """What is told of a price."""

    # Prices seen in the category, this one included; their mean, and their standard deviation (of the population).
    samples: int
    mean: float
    deviation: float
    # The change against the product's last price, in percent.
    move_percent: float | None
    # How many deviations the price lies from the mean of the prices before it.
    z_score: float | None
    outlier: bool
    # The mean of the prices before it.
    expected: float


class Analyzer:
    """What was learnt, and how to judge by it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Per category the count, the mean and the sum of squared deviations of its prices.
        self.categories = Table(3)
        # Per product its last price.
        self.products = Table(1)

    def judge(self, product: str, category: str, price: float) -> Seen:
        """What a price looks like after those before it, which from now on include it."""
        # A category or product for which the tables have no room is judged as if it came for the first time.
        at = self.categories.slot(category, (0.0, 0.0, 0.0))
        before = (0.0, 0.0, 0.0) if at is None else self.categories.get(at)
        z_score = self._z_score(before, price)
        after = _with(before, price)
        if at is not None:
            self.categories.set(at, after)
        return Seen(
            samples=int(after[0]),
            mean=after[1],
            deviation=_deviation(after),
            move_percent=self._move_percent(product, price),
            z_score=z_score,
            outlier=z_score is not None and abs(z_score) > self.settings.threshold,
            expected=before[1],
        )

    def snapshot(self) -> bytes:
        """All that was learnt, as bytes."""
        return state.write(self.categories, self.products)

    def restore(self, saved: bytes) -> None:
        """Takes up a snapshot. A ValueError says what is wrong with it, and nothing has changed then."""
        self.categories, self.products = state.read(saved)

    def _z_score(self, before: tuple[float, float, float], price: float) -> float | None:
        count, mean, _ = before
        deviation = _deviation(before)
        if count < self.settings.min_samples or deviation == 0.0:
            return None
        z_score = (price - mean) / deviation
        return z_score if math.isfinite(z_score) else None

    def _move_percent(self, product: str, price: float) -> float | None:
        at = self.products.slot(product, (math.nan,))
        if at is None:
            return None
        (last,) = self.products.get(at)
        if math.isfinite(price):
            self.products.set(at, (price,))
        if last == 0.0:
            return None
        percent = (price - last) / abs(last) * 100.0
        return percent if math.isfinite(percent) else None


def _with(prices: tuple[float, float, float], price: float) -> tuple[float, float, float]:
    """With one price more. A price that is no finite number, or one that would make the sums so, is left out."""
    count, mean, squares = prices
    count += 1.0
    delta = price - mean
    mean += delta / count
    squares += delta * (price - mean)
    return (count, mean, squares) if math.isfinite(squares) else prices


def _deviation(prices: tuple[float, float, float]) -> float:
    count, _, squares = prices
    return math.sqrt(squares / count) if count > 0.0 else 0.0
