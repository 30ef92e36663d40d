/* SPDX-License-Identifier: BSD-3-Clause */
/* irq.h - a stand-in for NuttX's. */
#ifndef STAND_IN_IRQ_H
#define STAND_IN_IRQ_H

#include <stdint.h>

typedef uint32_t irqstate_t;
typedef int (*xcpt_t)(int irq, void *context, void *arg);

irqstate_t enter_critical_section(void);
void leave_critical_section(irqstate_t flags);

#endif
