"""``rtp map``: writes the mapping that was found for a file or a topic to the mapping file, for people to edit."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from rtp_workers.batch.planning import Overrides, plan_file, read_mapping
from rtp_workers.batch.source_file import open_source, store_access
from rtp_workers.cli import topic_map
from rtp_workers.cli.terminal import say
from rtp_workers.errors import ConfigError
from rtp_workers.mapping.section_text import section_name, section_text
from rtp_workers.settings import PlatformSettings, load


@click.command()
@click.argument("file", metavar="FILE", required=False)
@click.option("--topic", help="Map a topic, from its newest records, instead of a file.")
@click.option("--json", "as_json", is_flag=True, help="With --topic: print what was found as JSON; write nothing.")
@click.option("--print", "only_print", is_flag=True, help="Print the section; write nothing.")
@click.option("--name", help="The section's name, instead of one made from the file's name.")
@click.option("--delimiter", help="The cells' separator, instead of what was found in the file; \\t is a tab.")
@click.option("--encoding", help="The file's encoding, instead of what was found.")
def command(
    file: str | None,
    topic: str | None,
    as_json: bool,
    only_print: bool,
    name: str | None,
    delimiter: str | None,
    encoding: str | None,
) -> int:
    """Write the mapping found for FILE, or for a topic, as a section of data/sources.toml, with its open questions."""
    if (file is None) == (topic is None):
        raise click.UsageError("give a FILE, or a topic with --topic")
    if topic is not None:
        return _map_topic(topic, name, only_print=only_print, as_json=as_json)
    return _map_file(str(file), name, Overrides(None, "\t" if delimiter == "\\t" else delimiter, encoding), only_print)


def _map_file(file: str, name: str | None, overrides: Overrides, only_print: bool) -> int:
    settings = load(PlatformSettings)
    target = settings.sources_path
    with open_source(file, access=store_access(file, settings)) as source:
        plan = plan_file(source, settings, overrides).plan
        text = section_text(plan, source.name, name)
        chosen = name or section_name(source.name)
    if only_print or plan.canonical:
        say(
            "# the columns have our own field names: no mapping is needed" if plan.canonical else text,
            nl=plan.canonical,
        )
        return 0
    _refuse_known(settings, plan.section, chosen, target)
    _append(target, text)
    say(text)
    say(f"added to {target}" + ("; answer its commented questions" if plan.undecided else "; edit it there"))
    return 0


def _map_topic(topic: str, name: str | None, *, only_print: bool, as_json: bool) -> int:
    settings = load(PlatformSettings)
    target = settings.sources_path
    sources = read_mapping(settings)
    look = topic_map.look_at(settings, topic, sources.section_for_topic(topic), name)
    if as_json:
        click.echo(json.dumps(topic_map.as_json(look), ensure_ascii=False, default=str))
        return 0
    topic_map.show(look, Console(highlight=False))
    if not only_print:
        topic_map.refuse_known(look, sources, name)
        _append(target, look.text)
    say(f"\n{look.text}")
    if not only_print:
        answer = 'replace each "?" with an answer' if look.plan.undecided else "edit it there"
        say(f"added to {target}; {answer}. `rtp consume` reads the topic once RTP_TOPICS names it")
    return 0


def _refuse_known(settings: PlatformSettings, section: str | None, name: str, target: Path) -> None:
    if section is not None:
        raise ConfigError(f"{target} maps this file already, in [{section}]; edit it, or use --print")
    if any(known.name == name for known in read_mapping(settings).sections):
        raise ConfigError(f"{target} has a section [{name}] for other files; give another with --name")


def _append(target: Path, text: str) -> None:
    try:
        before = target.read_text("utf-8") if target.exists() else ""
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(gap + text)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written ({error.strerror}); print the section with --print") from error
