"""Run with: python3 -m unittest discover guests/python/shapes"""

import math
import unittest

import offer


class Offers(unittest.TestCase):
    def test_an_offer_needs_a_price(self):
        self.assertIsNone(offer.refusal("a", 0.01))
        for price in [0.0, -1.0, math.nan]:
            self.assertEqual(offer.refusal("a", price), "offer `a` has no price")
        self.assertEqual(offer.total(0.5, -3), -1.5)

    def test_settings_are_whole_numbers(self):
        self.assertEqual(offer.least([]), 1)
        self.assertEqual(offer.least([("least", "007")]), 7)
        for bad in ["", "-1", "+1", "1.0", "1000000000", "x", "1_0", "١"]:
            with self.assertRaisesRegex(ValueError, "whole number"):
                offer.least([("least", bad)])
        with self.assertRaisesRegex(ValueError, "most"):
            offer.least([("most", "1")])


if __name__ == "__main__":
    unittest.main()
