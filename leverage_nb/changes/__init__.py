"""Previews, changes and plans of leverage, margin type and isolated margin, with reports of their outcomes."""
