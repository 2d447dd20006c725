"""What the README says exists, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rtp_workers.cli.main import SUBCOMMANDS, rtp

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_and_rtp_command_in_the_documents_exists(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"(?:^ {4}|`)make ([a-z][a-z0-9-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"
    for command in re.findall(r"(?:^ {4}|[`(/])rtp ([a-z][a-z-]*)", text, re.MULTILINE):
        assert command in SUBCOMMANDS, f"rtp {command}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_option_shown_beside_an_rtp_command_is_known(document: Path) -> None:
    for command, rest in re.findall(
        r"(?:^ {4}|[`(/])rtp ([a-z][a-z-]*)([^`\n#|]*)", document.read_text(), re.MULTILINE
    ):
        context = rtp.make_context("rtp", [command], resilient_parsing=True)
        found = rtp.get_command(context, command)
        assert found is not None
        known = " ".join(option for parameter in found.params for option in parameter.opts)
        known += " ".join(
            option
            for child in getattr(found, "commands", {}).values()
            for parameter in child.params
            for option in parameter.opts
        )
        for option in re.findall(r"--[a-z][a-z-]*", rest):
            assert option in known or option == "--help", f"rtp {command} {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text()):
        assert (document.parent / link).exists(), link


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
