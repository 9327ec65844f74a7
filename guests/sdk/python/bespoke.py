"""Turns Avro's logical types, which arrive as numbers and bytes, into Python's own types and back.

date                            date_of(days)                 days_of(date)
time-millis, time-micros        time_of_millis, _micros       millis_of_time, micros_of_time
timestamp-millis, -micros       of_millis, of_micros          to_millis, to_micros
decimal                         decimal_of(bytes, scale)      decimal_bytes(number, scale)
decimal in a fixed              the same                      decimal_bytes(number, scale, size)
duration                        duration_of(bytes)            duration_bytes(months, days, millis)

A datetime has whole microseconds: what is finer, of timestamp-nanos, stays a number.

Nothing is rounded in silence: what does not fit is a ValueError. Only the standard library is used.
"""

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from struct import Struct
from struct import error as StructError

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# Three numbers of 32 bits, the lowest byte first.
_DURATION = Struct("<III")


def date_of(days: int) -> date:
    """The date so many days after 1970-01-01."""
    return _EPOCH_DAY + timedelta(days=days)


def days_of(value: date) -> int:
    """Days since 1970-01-01."""
    return (date(value.year, value.month, value.day) - _EPOCH_DAY).days


def of_millis(millis: int) -> datetime:
    """The moment so many milliseconds after 1970-01-01, in UTC."""
    return _EPOCH + timedelta(milliseconds=millis)


def of_micros(micros: int) -> datetime:
    """The moment so many microseconds after 1970-01-01, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01 of a moment, which must say its time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def to_millis(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 of a moment, which must say its time zone. What is finer is cut off."""
    return to_micros(moment) // 1000


def time_of_micros(micros: int) -> time:
    """The time of day so many microseconds after midnight."""
    return (datetime.min + timedelta(microseconds=micros)).time()


def time_of_millis(millis: int) -> time:
    """The time of day so many milliseconds after midnight."""
    return time_of_micros(millis * 1000)


def micros_of_time(value: time) -> int:
    """Microseconds since midnight."""
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond


def millis_of_time(value: time) -> int:
    """Milliseconds since midnight. What is finer is cut off."""
    return micros_of_time(value) // 1000


def decimal_of(unscaled: bytes, scale: int) -> Decimal:
    """The number with these bytes and so many digits after the point."""
    number = int.from_bytes(unscaled, "big", signed=True)
    digits = tuple(map(int, str(abs(number))))
    return Decimal((int(number < 0), digits, -scale))


def decimal_bytes(number: Decimal, scale: int, size: int | None = None) -> bytes:
    """The bytes of a number with so many digits after the point: as many as a fixed has, or the shortest."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"{number} is no number")
    unscaled = int("".join(map(str, digits)))
    shift = exponent + scale
    if shift >= 0:
        unscaled *= 10**shift
    else:
        unscaled, rest = divmod(unscaled, 10**-shift)
        if rest:
            raise ValueError(f"{number} has more than {scale} digits after the point")
    if sign:
        unscaled = -unscaled
    length = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1
    if size is not None and length > size:
        raise ValueError(f"{number} needs {length} bytes, and there are {size}")
    return unscaled.to_bytes(size or length, "big", signed=True)


def duration_of(value: bytes) -> tuple[int, int, int]:
    """Months, days and milliseconds of a duration. None of them can be told by another."""
    return _DURATION.unpack(value)


def duration_bytes(months: int, days: int, millis: int) -> bytes:
    """The twelve bytes of a duration."""
    try:
        return _DURATION.pack(months, days, millis)
    except StructError as error:
        raise ValueError(f"a duration has three numbers of 32 bits without a sign: {error}") from None
