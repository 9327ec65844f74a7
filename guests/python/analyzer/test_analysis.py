"""Run with: python3 -m unittest discover guests/python/analyzer"""

import math
import unittest

from analysis import Analyzer, Settings


def prices(analyzer, *values, product="b-1"):
    return [analyzer.judge(product, "books", value) for value in values]


class Analysis(unittest.TestCase):
    def test_mean_and_deviation_are_those_of_the_textbook(self):
        last = prices(Analyzer(Settings()), 2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0)[-1]
        self.assertEqual((last.samples, last.mean, last.deviation), (8, 5.0, 2.0))

    def test_an_outlier_is_judged_by_the_prices_before_it(self):
        seen = prices(Analyzer(Settings(min_samples=4)), 9.0, 11.0, 9.0, 11.0, 10.5, 20.0)
        self.assertEqual([s.outlier for s in seen], [False] * 5 + [True])
        self.assertEqual([s.z_score for s in seen[3:5]], [None, 0.5])
        self.assertAlmostEqual(seen[5].expected, 10.1)

    def test_equal_prices_have_no_score(self):
        seen = prices(Analyzer(Settings(min_samples=2)), 5.0, 5.0, 5.0, 6.0)
        self.assertTrue(all(s.z_score is None for s in seen))

    def test_moves_are_against_the_last_price_of_the_same_product(self):
        analyzer = Analyzer(Settings())
        moves = [prices(analyzer, price, product=p)[0].move_percent for p, price in [("a", 10.0), ("b", 0.0), ("a", 12.5), ("b", 1.0)]]
        self.assertEqual(moves, [None, None, 25.0, None])

    def test_numbers_that_are_not_finite_spoil_nothing(self):
        last = prices(Analyzer(Settings(min_samples=2)), 9.0, math.nan, 11.0, math.inf, 1.7e308, 10.0)[-1]
        self.assertEqual((last.samples, last.mean, last.z_score), (3, 10.0, 0.0))

    def test_settings_that_make_no_sense_are_refused(self):
        self.assertEqual(Settings.parse([("threshold", "2.5")]), Settings(2.5, 30))
        for name, value in [("threshold", "0"), ("threshold", "nan"), ("threshold", "1_0"), ("min_samples", "1"), ("max", "1")]:
            with self.assertRaisesRegex(ValueError, name):
                Settings.parse([(name, value)])


class State(unittest.TestCase):
    def test_a_restored_analyzer_goes_on_with_the_same_numbers(self):
        whole, restored = Analyzer(Settings()), Analyzer(Settings())
        prices(whole, *(10.0 + n % 7 for n in range(50)))
        restored.restore(whole.snapshot())
        self.assertEqual(restored.snapshot(), whole.snapshot())
        more = [10.0 + n % 5 for n in range(50)]
        self.assertEqual(prices(restored, *more), prices(whole, *more))

    def test_garbage_is_refused_and_changes_nothing(self):
        analyzer = Analyzer(Settings())
        prices(analyzer, 1.0, 2.0)
        state = analyzer.snapshot()
        for damaged in [state[:end] for end in range(len(state))] + [state + b"x", state.replace(b"books", b"b\xffoks")]:
            with self.assertRaises(ValueError):
                analyzer.restore(damaged)
        self.assertEqual(analyzer.snapshot(), state)


if __name__ == "__main__":
    unittest.main()
