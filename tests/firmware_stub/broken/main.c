/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the firmware stub of the tests: the one that is shipped, and an option
 * `--break NAME` more, which breaks one rule of the protocol; `--break help` lists them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breakage.h"
#include "serial_breakage.h"
#include "stub.h"

#define EXIT_USAGE 2

/* Takes `--break NAME` out of the arguments and returns NAME; NULL when it is not there. */
static const char *take_option(int *argc, char **argv)
{
	for (int i = 1; i + 1 < *argc; i++) {
		const char *name = argv[i + 1];

		if (strcmp(argv[i], "--break"))
			continue;
		*argc -= 2;
		memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i + 1) * sizeof(*argv));
		return name;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct message_filter *messages = NULL;
	const struct serial_filter *bytes = NULL;
	const char *name = take_option(&argc, argv);

	if (name && !strcmp(name, "help")) {
		breakage_list(stdout);
		serial_breakage_list(stdout);
		return EXIT_SUCCESS;
	}
	if (name) {
		messages = breakage_find(name);
		bytes = serial_breakage_find(name);
	}
	if (name && !messages && !bytes) {
		fprintf(stderr,
			"firmware-stub: nothing to break is called `%s`; --break help lists them\n",
			name);
		return EXIT_USAGE;
	}
	return stub_main(argc, argv, messages, bytes);
}
