# SPDX-License-Identifier: BSD-3-Clause
"""Lines in a lab of labgrid's: its coordinator, two exporters and its client, over ssh."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

import bridge
from tests.integrations.labgrid_lab import LATE, Lab, acquired, check_no_line_is_held


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    # labgrid's client takes 0.2 s for each line of a place, so most places are of one line.
    places = {"east-board": "*", "east-LED_GREEN": "*/LED_GREEN"}
    places |= {"west-LED_GREEN": "*/LED_GREEN", "west-LED_BLUE": "*/LED_BLUE"}
    with Lab(
        {"east": 1, "west": 1}, fallback={"LED_BLUE": "active"}, until={"LED_RED": "client"}
    ) as running:
        for place, match in places.items():
            running.client(place, "create")
            running.client(place, "add-match", f"{place.partition('-')[0]}/b0/{match}")
        yield running


def test_an_output_stays_while_the_place_is_held(lab: Lab) -> None:
    east, west = lab.hosts["east"], lab.hosts["west"]
    with acquired(lab, "east-LED_GREEN"):
        lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
        assert east.stubs[0].read("LED_GREEN") == 1  # and the client is gone
        assert west.stubs[0].read("LED_GREEN") == 0
        assert "is high" in lab.client("east-LED_GREEN", "io", "get", "LED_GREEN")
        lab.client("east-LED_GREEN", "io", "low", "LED_GREEN")
        assert "is low" in lab.client("east-LED_GREEN", "io", "get", "LED_GREEN")
        assert east.used() == {"b0/LED_GREEN": "labgrid east-LED_GREEN"}
    check_no_line_is_held(east)


def test_what_falls_back_to_a_value_is_driven_when_nobody_has_the_place(lab: Lab) -> None:
    (stub,) = lab.hosts["west"].stubs
    with acquired(lab, "west-LED_BLUE"):
        lab.client("west-LED_BLUE", "io", "low", "LED_BLUE")
        assert stub.read("LED_BLUE") == 0
    stub.wait_level("LED_BLUE", 1, LATE)
    with acquired(lab, "west-LED_BLUE"):  # the next one takes it over as it is
        assert "is high" in lab.client("west-LED_BLUE", "io", "get", "LED_BLUE")
        lab.client("west-LED_BLUE", "io", "low", "LED_BLUE")
    stub.wait_level("LED_BLUE", 1, LATE)


def test_a_client_that_ends_leaves_what_the_place_has_and_nothing_else(lab: Lab) -> None:
    """The resource LED_RED says so: until the client ends."""
    (stub,) = lab.hosts["east"].stubs
    with acquired(lab, "east-board"):
        lab.client("east-board", "io", "high", "LED_RED")
        stub.wait_level("LED_RED", 0, LATE)
        pid = lab.client.program(
            "east-board",
            """
            for name in ("LED_RED", "LED_GREEN"):
                target.get_driver("DigitalOutputProtocol", name=name).set(True)
            target.get_driver("DigitalInputProtocol", name="button").watch()
            print("set")
            time.sleep(1000)
            """,
        )
        lab.client.says("set")
        assert (stub.read("LED_RED"), stub.read("LED_GREEN")) == (1, 1)
        os.kill(pid, signal.SIGKILL)
        lab.client.end()
        stub.wait_level("LED_RED", 0, LATE)
        assert stub.read("LED_GREEN") == 1
    check_no_line_is_held(lab.hosts["east"])


def test_inputs_and_edges(lab: Lab) -> None:
    (stub,) = lab.hosts["east"].stubs
    with acquired(lab, "east-board"):
        lab.client.program(
            "east-board",
            """
            button = target.get_driver("EdgeProtocol", name="button")
            print(button.get(), button.edges() if button.watch("both") else "watching")
            for _ in range(2):
                (edge,) = button.edges(timeout=60)
                print(edge.rising, edge.seqno)
            """,
        )
        lab.client.says("False watching")  # not pressed: it is active-low
        stub.wait_armed("BUTTON_USER", LATE)
        stub.press("BUTTON_USER")
        lab.client.says("True 1")
        stub.release("BUTTON_USER")
        lab.client.says("False 2")
        assert lab.client.end()[0] == 0
        check_no_line_is_held(lab.hosts["east"])


def test_a_client_that_is_killed_while_it_waits_for_edges_lets_go_of_the_line(lab: Lab) -> None:
    with acquired(lab, "east-board"):
        pid = lab.client.program(
            "east-board",
            """
            button = target.get_driver("EdgeProtocol", name="button")
            button.watch("both")
            print("waits")
            button.edges(timeout=3000)
            """,
        )
        lab.client.says("waits")
        os.kill(pid, signal.SIGKILL)
        lab.client.end()
        check_no_line_is_held(lab.hosts["east"])


def test_what_cannot_be_had_says_why(lab: Lab) -> None:
    host = lab.hosts["east"]
    high = ("io", "high", "LED_GREEN")
    status, said = lab.client.run("east-LED_GREEN", *high)
    assert status
    assert "not acquired" in said
    assert host.used() == {}
    path = f"{host.serve.socket}#b0-0"
    with acquired(lab, "east-LED_GREEN"):
        with bridge.request_lines(path, {"LED_GREEN": None}, consumer="a colleague"):
            status, said = lab.client.run("east-LED_GREEN", *high)
        assert status
        assert 'is held by "a colleague"' in said
        lab.client("east-LED_GREEN", *high)


def test_firmware_that_restarts_is_set_again(lab: Lab) -> None:
    host = lab.hosts["east"]
    with acquired(lab, "east-LED_GREEN"):
        lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
        host.stubs[0].restart()
        host.serve.wait_for_chips(2)
        lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
        assert host.stubs[0].read("LED_GREEN") == 1
    check_no_line_is_held(host)


def test_a_place_that_is_taken_from_its_user_lets_go_of_its_lines(lab: Lab) -> None:
    lab.client("east-LED_GREEN", "acquire")
    lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
    lab.client("east-LED_GREEN", "release", "--kick", user="boss")
    lab.hosts["east"].stubs[0].wait_level("LED_GREEN", 0, LATE)
    check_no_line_is_held(lab.hosts["east"])


def test_a_killed_keeper_leaves_no_line(lab: Lab) -> None:
    host = lab.hosts["west"]
    with acquired(lab, "west-LED_GREEN"):
        lab.client("west-LED_GREEN", "io", "high", "LED_GREEN")
        host.keeper.kill()
        host.stubs[0].wait_level("LED_GREEN", 0, LATE)
        status, said = lab.client.run("west-LED_GREEN", "io", "high", "LED_GREEN")
        assert status
        assert "no keeper at" in said
        host.keeper.start()
        lab.client("west-LED_GREEN", "io", "high", "LED_GREEN")


def test_a_killed_exporter_leaves_outputs_as_they_are(lab: Lab) -> None:
    host = lab.hosts["east"]
    with acquired(lab, "east-LED_GREEN"):
        lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
        said = len(lab.coordinator.log)
        host.exporter.kill()
        lab.coordinator.wait_for(r"set_resource .* LED_GREEN None", said)
        assert host.stubs[0].read("LED_GREEN") == 1
        host.exporter.start()
        lab.coordinator.wait_for(r"orphaned resource\(s\) should be replaced", said)
        lab.client("east-LED_GREEN", "io", "low", "LED_GREEN")
        assert host.stubs[0].read("LED_GREEN") == 0
    check_no_line_is_held(host)


def test_a_coordinator_that_comes_again_says_whose_a_place_is(lab: Lab) -> None:
    """labgrid's coordinator forgets who had what; so it is nobody's, and outputs fall back."""
    host = lab.hosts["east"]
    lab.client("east-LED_GREEN", "acquire")
    lab.client("east-LED_GREEN", "io", "high", "LED_GREEN")
    before = len(host.keeper.log)
    lab.coordinator.kill()
    host.keeper.wait_for("its places stay as they are", before)
    assert host.stubs[0].read("LED_GREEN") == 1
    lab.coordinator.start()
    host.keeper.wait_for(r"has \d+ places", before)
    host.stubs[0].wait_level("LED_GREEN", 0, LATE)
    check_no_line_is_held(host)
