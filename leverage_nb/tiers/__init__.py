"""Tiers: what was read, for five minutes, and what Binance has changed in them."""
