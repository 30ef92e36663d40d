# SPDX-License-Identifier: BSD-3-Clause
"""debian/, beside what it repeats. .ci/fresh builds its packages, and installs them."""

from __future__ import annotations

import re
from pathlib import Path

import bridge

ROOT = Path(__file__).resolve().parents[2]
DEBIAN = ROOT / "debian"


def test_one_version() -> None:
    newest = re.match(r"rpmsg-gpio-bridge \((\S+)\) ", (DEBIAN / "changelog").read_text())
    assert newest and newest[1] == bridge.__version__


def test_what_the_module_needs_is_there_for_its_build() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r"^(?:requires|dependencies) = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    needed = {name for one in lists for name in re.findall(r'"([a-z]+)>=[\d.]+"', one)}
    assert needed >= {"cffi", "click", "setuptools"}
    control = (DEBIAN / "control").read_text().partition("Standards-Version")[0]
    assert needed == set(re.findall(r"^ python3-((?!dev)[a-z]+)", control, re.MULTILINE))


def test_the_licence_is_the_projects() -> None:
    words = [
        [word for word in (file.read_text().split()) if word != "."]
        for file in (ROOT / "LICENSE", DEBIAN / "copyright")
    ]
    ours, theirs = (" ".join(text[text.index("Redistribution") :]) for text in words)
    assert ours == theirs


def test_every_part_of_the_firmware_that_is_copied_is_in_dev() -> None:
    install = (DEBIAN / "rpmsg-gpio-bridge-dev.install").read_text()
    sources = [line.split()[0] for line in install.splitlines()]
    for source in sources:
        assert list(ROOT.glob(source)), source
    copied = re.findall(
        r"^\| `(firmware_stub/[a-z]+)/", (ROOT / "docs/porting.md").read_text(), re.M
    )
    assert set(copied) >= {"firmware_stub/core", "firmware_stub/remote"}
    for folder in copied:
        assert any(source.startswith(folder) for source in sources), folder
