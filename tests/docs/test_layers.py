# SPDX-License-Identifier: BSD-3-Clause
"""tools/check-layers finds what stands against the order of docs/architecture.md."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    loader = SourceFileLoader("check_layers", str(ROOT / "tools/check-layers"))
    module = module_from_spec(spec_from_loader("check_layers", loader))
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs/architecture.md").read_text()


@pytest.fixture
def texts(tool: ModuleType) -> dict[str, str]:
    return dict(tool.sources())


def test_the_files_keep_to_the_order(tool: ModuleType, page: str, texts: dict[str, str]) -> None:
    assert tool.check(page, texts) == []
    assert len(texts) > 80


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("bridge/shim/pump/pump.c", '#include "link.h"', "includes bridge/shim/pump/link.h"),
        ("bridge/shim/pump/link.c", '#include "controller.h"', "pump/controller.h, which is not"),
        ("bridge/shim/pump/rpmsg_link.c", '#include "pump.h"', "which is not below kinds"),
        ("bridge/shim/pump/request.c", '#include "endpoint.h"', "which is not below request"),
        ("firmware_stub/core/rpmsg_gpio_device.c", '#include "rpmsg.h"', "remote/rpmsg.h"),
        ("firmware_stub/host/virtio/notifier.c", '#include "pump/pump.h"', "pump/pump.h"),
        ("bridge/shim/pump/pump.c", "gb_request_close(0);", "uses gb_request_close()"),
        ("bridge/shim/pump/link.c", "gb_controller_call;", "uses gb_controller_call()"),
        ("bridge/shim/pump/serial_link.c", "gb_timer_arm(0);", "uses gb_timer_arm()"),
        ("firmware_stub/host/loop/timers.h", '#include "timers.h"', "headers in a circle"),
        ("bridge/shim/pump/resync.c", "gb_calls_advance(0);", "in a circle with bridge/shim/pump"),
    ],
)
def test_what_goes_up_is_found(
    tool: ModuleType, page: str, texts: dict[str, str], file: str, line: str, fault: str
) -> None:
    texts[file] += f"{line}\n"
    assert any(fault in found for found in tool.check(page, texts))


def test_a_file_in_no_layer_is_found(tool: ModuleType, page: str, texts: dict[str, str]) -> None:
    texts["bridge/shim/pump/new.c"] = ""
    assert any("new.c: in no layer" in found for found in tool.check(page, texts))


def test_a_layer_that_may_use_one_above_it_is_found(
    tool: ModuleType, page: str, texts: dict[str, str]
) -> None:
    page = page.replace("| `loop` | ", "| `loop` | `link`, ")
    assert any("layer loop may use link" in found for found in tool.check(page, texts))
