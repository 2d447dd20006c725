"""MkDocs hook: the README is the home page, and links out of docs/ become plain text once they are known to exist."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")
log = logging.getLogger("mkdocs.hooks.links")


def on_files(files: Any, config: Any) -> Any:
    """Adds the README as the home page, with its links as seen from docs/."""
    text = (
        (ROOT / "README.md").read_text().replace("](docs/decisions)", "](docs/decisions/0001-offsets-in-postgres.md)")
    )
    text = text.replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replaces links to files outside docs/ by the file's name; one that leads nowhere is a warning."""
    folder = ROOT if page.file.src_uri == "index.md" else (ROOT / "docs" / page.file.src_uri).parent

    def replaced(match: re.Match[str]) -> str:
        target = (folder / match[2]).resolve()
        if page.file.src_uri == "index.md" and files.get_file_from_path(match[2]) is not None:
            return match[0]
        if target.is_relative_to(ROOT / "docs"):
            return match[0]
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, match[2])
        return f"{match[1]} (`{target.relative_to(ROOT)}`)" if match[1] != target.name else f"`{match[1]}`"

    return LINK.sub(replaced, markdown)
