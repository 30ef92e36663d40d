# SPDX-License-Identifier: BSD-3-Clause
"""The verbs of gpio-bridge; the module of each is imported when it is used."""

# The verbs in the order in which a user meets them. Each is a module of bridge.cli; the text is
# what `gpio-bridge --help` says of it without importing it.
VERBS = {
    "demo": "Run firmware, service and client on this PC, no board needed.",
    "serve": "Run the service that owns the links and serves the chips.",
    "status": "Show the service: links, chips, exports, clients, what is down and why.",
    "detect": "List the chips (as gpiodetect).",
    "info": "Show lines and who uses them (as gpioinfo).",
    "get": "Read lines (as gpioget).",
    "set": "Set lines and hold them (as gpioset).",
    "keep": "Set outputs and leave them so when the program has ended.",
    "release": "Give kept lines back.",
    "mon": "Print edge events (as gpiomon).",
    "watch": "Show chips and lines on the whole screen, as they are now.",
    "record": "Write edges to a file for GTKWave and sigrok: VCD, CSV, sr, JSON lines.",
    "show": "Show a recording: waveform, frequency, duty, pulses; as text, SVG, PNG or JSON.",
    "replay": "Play a recording on the pins of a simulated board.",
    "notify": "Print who requests and releases lines (as gpionotify).",
    "run": "Run a program that knows /dev/gpiochipN on these lines, unchanged.",
    "trace": "Show what goes over the wire, message by message, or write it for Wireshark.",
    "plug": "Plug chips of a service into this kernel, as root, and watch over them.",
    "remoteproc": "Start and stop remote processors by their names.",
    "doctor": "Check what goes wrong on boards, and say what to do.",
    "system": "Install udev rules, systemd units, manual pages and completion, or remove them.",
    "conformance": "Check firmware against the protocol, over any link.",
    "bench": "Measure round trips, edge rate, idle CPU and memory.",
    "completion": "Print what bash or zsh needs to complete verbs, options and lines.",
}

# These are libgpiod's tools, and some like them. Scripts call them over and over, so they do
# without click and rich: their module has main(arguments) -> exit status. The modules of other
# verbs have a click command.
TOOLS = (
    "status",
    "detect",
    "info",
    "get",
    "set",
    "keep",
    "release",
    "mon",
    "watch",
    "record",
    "show",
    "replay",
    "notify",
    "run",
    "trace",
)
