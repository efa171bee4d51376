"""Build hook: the description of a release has absolute links, because a package index has no files beside it.

The repository's address comes from LEVERAGE_NB_REPOSITORY, which the release workflow sets to its own; a copy of the
project then links to itself. Without the variable the links stay relative.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hatchling.metadata.plugin.interface import MetadataHookInterface

# [text](path), ![text](path); not [text](https://...) or [text](#heading)
_RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


class LinksHook(MetadataHookInterface):
    """Sets the description, and the project's URLs if the address is known."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``readme`` and ``urls``; both are dynamic fields in pyproject.toml."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = os.environ.get("LEVERAGE_NB_REPOSITORY", "").rstrip("/")
        if address:
            source = Path(self.root, "leverage_nb", "__init__.py").read_text(encoding="utf-8")
            tag = re.findall(r'^__version__ = "(.+)"', source, re.MULTILINE)[0]

            def absolute(link: re.Match[str]) -> str:
                image, text, path = link.groups()
                return f"{image}[{text}]({address}/{'raw' if image else 'blob'}/v{tag}/{path})"

            readme = _RELATIVE.sub(absolute, readme).replace("OWNER/REPOSITORY", urlsplit(address).path.strip("/"))
            metadata["urls"] = {
                "Source": address,
                "Changelog": f"{address}/blob/v{tag}/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
