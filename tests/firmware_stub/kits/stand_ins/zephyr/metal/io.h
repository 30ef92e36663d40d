/* SPDX-License-Identifier: BSD-3-Clause */
/* io.h - a stand-in for libmetal's. */
#ifndef STAND_IN_IO_H
#define STAND_IN_IO_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned long metal_phys_addr_t;

struct metal_io_ops;
struct metal_io_region {
	void *virt;
};

void metal_io_init(struct metal_io_region *io, void *virt, const metal_phys_addr_t *physmap,
		   size_t size, unsigned int page_shift, unsigned int mem_flags,
		   const struct metal_io_ops *ops);

#endif
