"""Calculations on tiers and account states: no network, files or clock. pandas loads only to build DataFrames."""
