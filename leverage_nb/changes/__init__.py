"""Changing leverage, and never misreporting it."""
