# SPDX-License-Identifier: BSD-3-Clause
"""The failures that the doctor knows, each with what to do about it.

docs/bring-up.md shows this table; a test compares the two.
"""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """One thing that goes wrong.

    Attributes:
        symptom: what is seen.
        remedy: what to do.
    """

    symptom: str
    remedy: str


FAILURES: dict[str, Failure] = {
    "no-rpmsg": Failure(
        "the kernel has no rpmsg bus",
        "build it with CONFIG_RPMSG_VIRTIO, or load the module virtio_rpmsg_bus",
    ),
    "option-missing": Failure(
        "the kernel lacks an option",
        "build it with the option named; gpio-bridge doctor --kernel-fragment prints all to merge",
    ),
    "module-absent": Failure(
        "the kernel was built with a module that is not installed",
        "put it into the image: in Yocto the package kernel-module-NAME, with - for _",
    ),
    "module-missing": Failure(
        "a module is not loaded",
        "modprobe it; gpio-bridge system install has it at every boot",
    ),
    "no-remoteproc": Failure(
        "no remoteproc here",
        "on a board: enable the coprocessor in the device tree and its driver in the kernel; "
        "on a PC there is none: gpio-bridge demo, or a vhost-user or serial link",
    ),
    "remoteproc-down": Failure(
        "a remote processor does not run",
        "gpio-bridge remoteproc start NAME; dmesg says why it refuses",
    ),
    "remoteproc-crashed": Failure(
        "a remote processor has crashed and is not recovered",
        "gpio-bridge remoteproc trace NAME shows what it said last; "
        "gpio-bridge remoteproc stop NAME, then start NAME; "
        "echo enabled to its recovery file lets the kernel do it",
    ),
    "no-channel": Failure(
        "no GPIO channel is announced",
        "the firmware must announce rpmsg-io-0 (name service, VIRTIO_RPMSG_F_NS); "
        "without name service: serve --link 'rpmsg:?dst=ADDRESS'; before Linux 7.4 its two vrings "
        "must have the same number of descriptors: dmesg",
    ),
    "other-driver": Failure(
        "another driver has the channel, or could have it",
        "use that driver's gpiochip; or unbind the channel from it, "
        "or say claim=yes in the link's URL",
    ),
    "no-node": Failure(
        "a channel has no device node",
        "install the udev rules (they bind rpmsg_chrdev), or run the service as root",
    ),
    "node-permission": Failure(
        "this user may not open a node",
        "install the udev rules and join group rpmsg; the service does that for all others",
    ),
    "no-rules": Failure(
        "our udev rules are not installed",
        "gpio-bridge system install",
    ),
    "no-link": Failure(
        "a node has no link in /dev/rpmsg-gpio",
        "udevadm trigger; is udevd running?",
    ),
    "no-group": Failure(
        "a group does not exist",
        "gpio-bridge system install users, or groupadd --system GROUP",
    ),
    "not-in-group": Failure(
        "this user is not in group gpio",
        "usermod --append --groups gpio USER, and log in again",
    ),
    "no-service": Failure(
        "no service listens",
        "systemctl status gpio-bridge, or start one: gpio-bridge serve --link URL, which on a "
        "board is rpmsg:; gpio-bridge demo needs neither board nor service",
    ),
    "service-silent": Failure(
        "the service does not answer",
        "where its process is stopped, kill -CONT PID; where it hangs, systemctl restart "
        "gpio-bridge: pins stay as they are",
    ),
    "service-refuses": Failure(
        "the service's socket cannot be used",
        "join the group of the socket (gpio); or the service is another version",
    ),
    "link-down": Failure(
        "a link is down, or brings no chip",
        "its reason is named; start the firmware, or correct the link's URL",
    ),
    "no-chip": Failure(
        "a link is up, but has no chip",
        "the firmware does not answer on its channel: see the service's log",
    ),
    "firmware-silent": Failure(
        "the firmware does not answer",
        "it hangs, or its endpoint does not hear: gpio-bridge remoteproc trace NAME, then "
        "restart it",
    ),
}


def table() -> str:
    """The failures as a table in Markdown."""
    rows = [f"| {failure.symptom} | {failure.remedy} |" for failure in FAILURES.values()]
    return "\n".join(["| what is wrong | what to do |", "|---|---|", *rows])
