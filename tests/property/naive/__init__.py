"""The reference: the whole language over plain lists of rows, slowly and obviously; nothing is kept but what a rule must remember.

Read it from the top: `rules` (what a rule says), `moment` (what an expression is worth), then the parts that this is
made of. A value at an instant is a table from label sets to numbers, a condition one from label sets to true, false or
unknown (`tables`). ``default`` is what a label set without a row has: 0 for totals of events (nothing happened),
missing for the rest.
"""

from tests.property.naive.market import Row
from tests.property.naive.rules import Naive, Verdict

__all__ = ["Naive", "Row", "Verdict"]
