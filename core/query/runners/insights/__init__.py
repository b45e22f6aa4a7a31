"""Insights: the data points of trends, funnels, retention, lifecycle, stickiness and paths, and who is behind them."""
