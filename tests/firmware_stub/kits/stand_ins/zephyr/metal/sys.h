/* SPDX-License-Identifier: BSD-3-Clause */
/* sys.h - a stand-in for libmetal's. */
#ifndef STAND_IN_SYS_H
#define STAND_IN_SYS_H

struct metal_init_params {
	int log_level;
};

#define METAL_INIT_DEFAULTS {0}

int metal_init(const struct metal_init_params *params);

#endif
