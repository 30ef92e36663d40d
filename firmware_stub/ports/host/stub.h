/* SPDX-License-Identifier: BSD-3-Clause */
/* stub.h - firmware-stub: the firmware core on a simulated board, as a process. */
#ifndef HOST_STUB_H
#define HOST_STUB_H

#include "filter.h"

/* The program, from its command line to its exit status. A filter is NULL in sound firmware. */
int stub_main(int argc, char **argv, const struct message_filter *messages,
	      const struct serial_filter *bytes);

#endif
