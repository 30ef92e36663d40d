# SPDX-License-Identifier: BSD-3-Clause
"""The firmware stub: the coprocessor's GPIO firmware on a simulated board.

``Stub`` starts the ``firmware-stub`` process and drives its board; the board's
language and the faults are described in ``docs/stub.md``.
"""

from firmware_stub.stub import Channel, Count, LineState, Stub, boards, executable

__all__ = ["Channel", "Count", "LineState", "Stub", "boards", "executable"]
