/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c - firmware-stub as it is shipped. */
#include "stub.h"

int main(int argc, char **argv)
{
	return stub_main(argc, argv, NULL, NULL);
}
