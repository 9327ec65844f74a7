"""Run with: python3 -m unittest discover guests/sdk/python"""

import unittest
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal

import bespoke


class Moments(unittest.TestCase):
    def test_days_go_both_ways_also_before_the_epoch(self):
        for days, day in [(0, date(1970, 1, 1)), (-1, date(1969, 12, 31)), (19_782, date(2024, 2, 29))]:
            self.assertEqual(bespoke.date_of(days), day)
            self.assertEqual(bespoke.days_of(day), days)

    def test_timestamps_keep_every_digit(self):
        for micros in [0, -1, 1_709_164_800_123_456, 253_402_300_799_999_999]:
            self.assertEqual(bespoke.to_micros(bespoke.of_micros(micros)), micros)
        self.assertEqual(bespoke.of_millis(1_709_164_800_123), datetime(2024, 2, 29, 0, 0, 0, 123_000, timezone.utc))
        self.assertEqual(bespoke.to_millis(bespoke.of_millis(-1)), -1)

    def test_zones_are_taken_into_account_and_asked_for(self):
        zone = timezone(timedelta(hours=2))
        self.assertEqual(bespoke.to_millis(datetime(1970, 1, 1, 2, tzinfo=zone)), 0)
        with self.assertRaises(ValueError):
            bespoke.to_millis(datetime(1970, 1, 1))

    def test_times_of_day(self):
        self.assertEqual(bespoke.time_of_millis(86_399_999), time(23, 59, 59, 999_000))
        self.assertEqual(bespoke.micros_of_time(time(0, 0, 1, 7)), 1_000_007)
        self.assertEqual(bespoke.millis_of_time(bespoke.time_of_millis(12_345)), 12_345)


class Decimals(unittest.TestCase):
    def test_bytes_are_those_of_the_specification(self):
        for unscaled, number in [
            (b"\x00", "0.00"),
            (b"\x04\xd2", "12.34"),
            (b"\xfb\x2e", "-12.34"),
            (b"\x7f", "1.27"),
            (b"\x00\x80", "1.28"),
            (b"\x80", "-1.28"),
            (b"\xff\x7f", "-1.29"),
        ]:
            self.assertEqual(bespoke.decimal_of(unscaled, 2), Decimal(number))
            self.assertEqual(bespoke.decimal_bytes(Decimal(number), 2), unscaled, number)

    def test_longer_bytes_than_needed_are_read(self):
        self.assertEqual(bespoke.decimal_of(b"\xff\xff\xff\xff", 0), Decimal(-1))

    def test_nothing_is_rounded(self):
        self.assertEqual(bespoke.decimal_bytes(Decimal("1e3"), 2), (100_000).to_bytes(3, "big"))
        long = b"\x01" * 30
        self.assertEqual(bespoke.decimal_bytes(bespoke.decimal_of(long, 4), 4), long)
        for number in ["0.001", "NaN", "Infinity"]:
            with self.assertRaises(ValueError):
                bespoke.decimal_bytes(Decimal(number), 2)

    def test_a_fixed_is_filled_up(self):
        for number, unscaled in [("-0.01", b"\xff\xff\xff"), ("0", b"\x00\x00\x00"), ("327.68", b"\x00\x80\x00")]:
            self.assertEqual(bespoke.decimal_bytes(Decimal(number), 2, 3), unscaled)
        with self.assertRaises(ValueError):
            bespoke.decimal_bytes(Decimal("327.68"), 2, 2)


class Durations(unittest.TestCase):
    def test_they_go_both_ways(self):
        value = b"\x01\x00\x00\x00\x02\x00\x00\x00\x03\x01\x00\x00"
        self.assertEqual(bespoke.duration_of(value), (1, 2, 259))
        self.assertEqual(bespoke.duration_bytes(1, 2, 259), value)
        with self.assertRaises(ValueError):
            bespoke.duration_bytes(0, -1, 0)


if __name__ == "__main__":
    unittest.main()
