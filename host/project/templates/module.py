t|"""Trims `@text@`, and refuses records where nothing is left of it."""
f|"""Lets every record pass; answer False for those that are to be dropped."""
n|"""Counts records, with the running mean of `@number@`. The host keeps what was counted with the position in the topic."""
c|"""Counts records. The host keeps the count with the position in the topic."""

import wit_world
t|from componentize_py_types import Err, Ok, Result
a|from componentize_py_types import Err
t|from wit_world.imports.types import Change, @Record@
f|from wit_world.imports.types import @Record@
a|from wit_world.imports.types import @Record@, Row
a|
a|count = 0
n|mean = 0.0


class WitWorld(wit_world.WitWorld):
t|    def process(self, records: list[@Record@]) -> list[Result[Change | None, str]]:
f|    def process(self, records: list[@Record@]) -> list[bool]:
p|        return [answer(record) for record in records]
t|
t|
t|def answer(record: @Record@) -> Result[Change | None, str]:
t|    text = record.@text_py@.strip()
t|    if not text:
t|        return Err("`@text@` is empty")
t|    return Ok(Change(@text_py@=text))
f|
f|
f|def answer(record: @Record@) -> bool:
f|    return True
a|    def analyze(self, records: list[@Record@]) -> list[Row]:
a|        return [row(record) for record in records]
a|
a|    def snapshot(self) -> str:
n|        return f"{count} {mean!r}"
c|        return str(count)
a|
a|    def restore(self, state: str) -> None:
n|        global count, mean
c|        global count
a|        try:
n|            first, second = state.split(" ")
n|            count, mean = int(first), float(second)
c|            count = int(state)
a|        except ValueError:
a|            raise Err(f"`{state}` is not a state of this module") from None
a|
a|
a|def row(record: @Record@) -> Row:
n|    global count, mean
c|    global count
a|    count += 1
n|    mean += (record.@number_py@ - mean) / count
n|    return Row(count=count, mean=mean)
c|    return Row(count=count)
