# SPDX-License-Identifier: BSD-3-Clause
"""The pump guard on simulated pins."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from pump_guard import fill


def test_pump_runs_until_the_tank_is_full(gpio_service, gpio_line):
    with ThreadPoolExecutor() as threads:
        filling = threads.submit(fill)
        gpio_line("PUMP").wait(1)
        gpio_line("TANK_FULL").press()
        filling.result(timeout=10)
    assert gpio_line("PUMP").level == 0


def test_a_full_tank_gets_no_water(gpio_stub, gpio_line):
    gpio_line("TANK_FULL").press()
    fill(gpio_stub.url)  # the link in this process: no service is needed
    assert gpio_line("PUMP").edges == 0


def test_a_leak_stops_the_pump(gpio_service, gpio_line):
    with pytest.raises(TimeoutError, match="not full"):
        fill(timeout_s=0.1)
    assert gpio_line("PUMP").edges == 2  # on, and off again
