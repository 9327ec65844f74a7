"""Run with: python3 -m unittest discover guests/python/processor"""

import math
import unittest

import product


class Products(unittest.TestCase):
    def test_categories_become_lower_case_words_with_hyphens(self):
        for given, normal in [
            ("books", "books"),
            ("  Home &  Garden\t", "home-&-garden"),
            ("MÖBEL", "möbel"),
            ("toys\xa0\u2003games", "toys-games"),
            ("a\x1cb", "a\x1cb"),
            ("ΟΔΟΣ", "οδος"),
            (" \n ", ""),
        ]:
            self.assertEqual(product.normalise(given), normal, given)

    def test_impossible_prices_are_refused_with_the_reason(self):
        for price, text in [(math.nan, "NaN"), (-math.inf, "-inf"), (-0.0, "-0"), (1e23, "1" + "0" * 23), (-1.5, "-1.5")]:
            self.assertIn(f" {text} ", product.refuse_price(price))
        self.assertIsNone(product.refuse_price(1e7))
        self.assertIsNone(product.refuse_price(5e-324))

    def test_a_larger_quantity_never_gets_a_smaller_discount(self):
        self.assertEqual([product.discount(n) for n in (-5, 9, 10, 49, 50, 99, 100)], [0, 0, 0.02, 0.02, 0.05, 0.05, 0.1])

    def test_unknown_settings_are_refused(self):
        dropped = product.dropped_categories([("drop_categories", "Gift Cards, ,samples")])
        self.assertEqual(dropped, {"gift-cards", "samples"})
        with self.assertRaisesRegex(ValueError, "drop_category"):
            product.dropped_categories([("drop_category", "x")])


if __name__ == "__main__":
    unittest.main()
