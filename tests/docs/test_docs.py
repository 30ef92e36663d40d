# SPDX-License-Identifier: BSD-3-Clause
"""The documentation leads somewhere: links, headings, and files that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "examples/README.md",
    ROOT / "firmware_stub/host/virtio/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
FOLDERS = r"(?:bridge|docs|examples|firmware_stub|tests|tools|udev)"
# Built, not in the tree.
BUILT = {"bridge/system/files", "firmware_stub/bin/firmware-stub"}


def prose(page: Path) -> str:
    """Its text without blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The headings as links name them."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.is_file(), target
        assert not anchor or anchor in anchors(other), target


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\((docs/[\w/-]*\.md)\)", (ROOT / "README.md").read_text()))
    assert linked == {str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")}


def test_the_site_has_every_page() -> None:
    named = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert named == {
        str(page.relative_to(ROOT))
        for page in (*PAGES, ROOT / "tests/fuzz/README.md", *ROOT.glob("*.md"))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    """Those with their folder, in the prose: `tests/kernel/test_tty.py`."""
    for name in re.findall(rf"(?<![\w/.-]){FOLDERS}/[\w./-]*[\w/]", prose(page)):
        if name in BUILT or name.startswith("udev/rules.d/"):
            continue
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    "folder", ["bridge/shim/pump", "bridge/shim/export", "firmware_stub/host/virtio"]
)
def test_the_architecture_names_every_file_of_the_shim(folder: str) -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    table = page.partition(f"\n| `{folder}` |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+\.[ch])`", table))
    files = {file.name for file in (ROOT / folder).glob("*.[ch]")}
    assert named <= files
    # A header beside its .c file need not be named.
    paired = {f"{name[:-2]}.h" for name in named if name.endswith(".c")}
    assert files == named | (paired & files)
