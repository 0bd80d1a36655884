"""How far annotators agree: the figures, the queries behind them, and their intervals.

`interval_alpha` and `agreement_of` take any frame of judgments; `warehouse.agreement.measure` works on a warehouse.
"""

from __future__ import annotations

from warehouse.agreement.frames import agreement_of, interval_alpha
from warehouse.agreement.resample import Figure

__all__ = ["Figure", "agreement_of", "interval_alpha"]
