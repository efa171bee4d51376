"""Previews that are no longer fresh."""

from __future__ import annotations

from dataclasses import replace

from leverage_nb.changes.fresh_read import FRESH_FOR
from leverage_nb.changes.preview import Preview


def aged(preview: Preview) -> Preview:
    """Return a preview as it is more than a second later."""
    setting = replace(preview.setting, read_at=preview.setting.read_at - FRESH_FOR - 0.001)
    return replace(preview, setting=setting)
