"""How far annotators agree: the figures, the queries behind them, their intervals."""
