"""Documents as files: Markdown with front matter, and the `readers.toml` that goes with them."""

from collections.abc import Sequence

from tests.backends.knowledge import Written


def markdown(written: Written) -> str:
    return f"---\ntitle: {written.name}\nupdated: {written.updated_at.isoformat()}\n---\n{written.text}"


def readers_toml(documents: Sequence[Written]) -> str:
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {((), "internal"): ["/nothing.md"]}
    for each in documents:
        alike.setdefault((each.readers, each.origin), []).append(f"/{each.name}.md")
    return "\n".join(
        f'[[rules]]\npaths = {paths}\nreaders = {list(readers)}\norigin = "{origin}"\n'
        for (readers, origin), paths in alike.items()
    )
