"""The second stage of the product feed: per category the running mean and deviation of prices, per product the move
against its last price, and a flag for outliers.

This file joins the logic of analysis.py to the contract in wit/analyzer.wit, and holds the one instance of it. Only the
standard library is used: a sandbox cannot load numpy or pandas, which are native code.
"""

import wit_world
from componentize_py_types import Err
from wit_world.imports.types import Alert, Output, Product, Row

from analysis import Analyzer, Settings

analyzer = Analyzer(Settings())


class WitWorld(wit_world.WitWorld):
    def configure(self, settings: list[tuple[str, str]]) -> None:
        try:
            analyzer.settings = Settings.parse(settings)
        except ValueError as error:
            raise Err(str(error)) from None

    def analyze(self, records: list[Product]) -> Output:
        rows: list[Row] = []
        alerts: list[Alert] = []
        for p in records:
            seen = analyzer.judge(p.id, p.category, p.price)
            rows.append(
                Row(
                    p.category,
                    p.id,
                    p.price,
                    p.updated,
                    seen.samples,
                    seen.mean,
                    seen.deviation,
                    seen.move_percent,
                    seen.z_score,
                    seen.outlier,
                )
            )
            if seen.outlier and seen.z_score is not None:
                alerts.append(Alert(p.category, p.id, p.price, p.updated, seen.z_score, seen.expected))
        return Output(rows, alerts)

    def snapshot(self) -> bytes:
        return analyzer.snapshot()

    def restore(self, state: bytes) -> None:
        try:
            analyzer.restore(state)
        except ValueError as error:
            raise Err(str(error)) from None
