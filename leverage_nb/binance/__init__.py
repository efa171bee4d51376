"""The wire: what is said to Binance, what is heard back."""
