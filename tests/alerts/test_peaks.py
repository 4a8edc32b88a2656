"""The worst value of each row."""

from __future__ import annotations

import math

import numpy as np

from monitor.alerts.peaks import Peaks
from tests.alerts.build import evaluation


def test_the_worst_while_it_holds_in_either_direction() -> None:
    peaks = Peaks()
    peaks.fit(4)
    peaks.begin(0, 5.0, rising=True)
    peaks.begin(1, 5.0, rising=False)
    peaks.begin(2, None, rising=True)
    for values, signs in (([7, 7, 1, 9], "TTTT"), ([9, 3, math.nan, 9], "FTTT"), ([6, 4, 0, 9], "TTTT")):
        seen = evaluation(0, signs, value=values)
        peaks.track(seen, seen.truth)
    assert [peaks[row] for row in range(3)] == [7, 3, 1]
    assert math.isnan(peaks[3]), "no alert"
    low, high = peaks.indifferent()
    assert np.array_equal(low > -math.inf, [False, True, False, False])
    assert np.array_equal(high < math.inf, [True, False, True, False])
    assert (peaks.is_rising(0), peaks.is_rising(1)) == (True, False)
    peaks.end(0)
    assert math.isnan(peaks[0])


def test_it_grows_and_is_numbered_anew() -> None:
    peaks = Peaks()
    peaks.fit(1)
    peaks.begin(0, 5.0, rising=False)
    peaks.fit(3)
    assert (peaks[0], peaks.is_rising(0), peaks.is_rising(2)) == (5.0, False, True)
    peaks.move(np.array([0, 2]), np.array([3, 0]), 4)
    assert (peaks[3], peaks.is_rising(3), peaks.is_rising(0)) == (5.0, False, True)
    assert math.isnan(peaks[0])
