// SPDX-License-Identifier: BSD-3-Clause
// libgpiod_v1.cc - libgpiod 1's C++ binding: lines by name, values, edges.
#include <chrono>
#include <gpiod.hpp>
#include <iostream>

int main(int, char **arguments)
{
	gpiod::chip chip(arguments[1]);
	gpiod::line out = chip.find_line("out"), in = chip.find_line("in");

	std::cout << chip.label() << " " << chip.num_lines() << std::endl;
	out.request({"witness", gpiod::line_request::DIRECTION_OUTPUT, 0}, 0);
	in.request({"witness", gpiod::line_request::EVENT_BOTH_EDGES, 0});
	for (int value : {1, 0}) {
		out.set_value(value);
		if (!in.event_wait(std::chrono::seconds(60)))
			return 1;
		bool rising = in.event_read().event_type == gpiod::line_event::RISING_EDGE;
		std::cout << (rising ? "rising " : "falling ") << in.get_value() << std::endl;
	}
	return 0;
}
