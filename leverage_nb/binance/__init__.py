"""Requests to Binance and its answers: HTTP, WebSocket, signatures, rate limit, error codes."""
