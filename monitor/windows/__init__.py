"""Every function over time, by name: one file for each tight family, one line here."""

from monitor.window import PairFunction, WindowFunction
from monitor.windows.changes import CHANGE, DELTA
from monitor.windows.correlation import BETA, CORR
from monitor.windows.deviation import STDDEV, ZSCORE
from monitor.windows.drawdown import DRAWDOWN
from monitor.windows.ends import FIRST, LAST
from monitor.windows.extremes import MAX, MIN
from monitor.windows.means import MEAN, SMA
from monitor.windows.quantiles import QUANTILE
from monitor.windows.slope import SLOPE
from monitor.windows.smoothing import EMA
from monitor.windows.totals import COUNT, RATE, SUM
from monitor.windows.volatility import REALIZED_VOL

WINDOWS: dict[str, WindowFunction] = {
    function.name: function
    for function in (
        *(SUM, COUNT, RATE),
        *(MEAN, SMA),
        *(MIN, MAX),
        *(FIRST, LAST),
        *(CHANGE, DELTA),
        *(STDDEV, ZSCORE),
        QUANTILE,
        DRAWDOWN,
        REALIZED_VOL,
        EMA,
        SLOPE,
    )
}
PAIRS: dict[str, PairFunction] = {function.name: function for function in (CORR, BETA)}
