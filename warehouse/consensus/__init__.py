"""The aggregate of each proposition's judgments: EM, mean, median or trimmed mean.

`consensus_of` takes any frame of judgments; `warehouse.consensus.renew` keeps the consensus of a warehouse up to date.
"""

from __future__ import annotations

from warehouse.consensus.frames import FittedConsensus, consensus_of

__all__ = ["FittedConsensus", "consensus_of"]
