# SPDX-License-Identifier: BSD-3-Clause
"""Several lines in asyncio: one button toggles a LED, the other one ends the program.

python examples/edges_asyncio.py [CHIP]
"""

import asyncio
import sys

import bridge as gpiod
from bridge import aio
from bridge.line import Direction, Edge, Value

PRESS = gpiod.LineSettings(edge_detection=Edge.RISING, active_low=True)
OUTPUT = gpiod.LineSettings(direction=Direction.OUTPUT)


async def toggle(chip: aio.Chip, button: str, led: str) -> None:
    """Let each press of a button toggle a LED."""
    lit = False
    async with (
        await chip.request_lines({button: PRESS}, consumer="edges_asyncio") as presses,
        await chip.request_lines({led: OUTPUT}, consumer="edges_asyncio") as light,
    ):
        async for event in presses.edge_events():
            lit = not lit
            await light.set_value(led, Value.ACTIVE if lit else Value.INACTIVE)
            print(f"press {event.line_seqno}: {led} {'on' if lit else 'off'}")


async def pressed(chip: aio.Chip, button: str) -> None:
    """Return when a button is pressed."""
    async with await chip.request_lines({button: PRESS}, consumer="edges_asyncio") as request:
        await request.read_edge_events()


async def main(path: str) -> None:
    """Toggle until BUTTON_POWER is pressed."""
    async with await aio.Chip.open(path) as chip:
        toggling = asyncio.create_task(toggle(chip, "BUTTON_USER", "LED_GREEN"))
        ending = asyncio.create_task(pressed(chip, "BUTTON_POWER"))
        done, _ = await asyncio.wait({toggling, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in {toggling, ending} - done:
            task.cancel()
        await asyncio.wait({toggling, ending})
        for task in done:
            task.result()  # raises what ended it, such as a chip that went away


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "fw-0"))
