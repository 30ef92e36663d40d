/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_internal.h - what the parts of the core share.
 *
 *   rpmsg_gpio_device.c  messages, negotiation, lines
 *   rpmsg_gpio_event.c   interrupts and events
 */
#ifndef RPMSG_GPIO_INTERNAL_H
#define RPMSG_GPIO_INTERNAL_H

#include "rpmsg_gpio_device.h"

/* struct rpmsg_gpio_line.flags */
#define LINE_VALUE   0x01u /* the driver has set a value since direction NONE */
#define LINE_DUE     0x02u /* fired while armed: an event waits to be sent */
#define LINE_MASKED  0x04u /* the event was sent: waits for the re-arm */
#define LINE_LATCHED 0x08u /* an edge waits for the re-arm or for credits */
#define LINE_CONFIG  0x10u /* SET_LINE_CONFIG was used */
#define LINE_IRQ     (LINE_DUE | LINE_MASKED | LINE_LATCHED)
#define LINE_HELD    0x20u /* that edge has a record: its stream's held_at and last, */
#define LINE_HIGH    0x40u /* and its flags */
#define LINE_LATE    0x80u
#define LINE_RECORD  (LINE_HELD | LINE_HIGH | LINE_LATE)

/* Which of these extensions are compiled in; 0 lets the compiler drop the code. */
#define HAS(features) (RPMSG_GPIO_FEATURES & (features))
#define EXTENDED_EVENTS HAS(RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP)

/* COUNTERS; nothing where they are not compiled in. */
#if HAS(RPMSG_GPIO_F_COUNTERS)
#define COUNT(device, counter) ((device)->counters.counter = (device)->counters.counter + 1)
#else
#define COUNT(device, counter) ((void)0)
#endif

static inline void rpmsg_gpio_line_set(struct rpmsg_gpio_line *line, unsigned int flags)
{
	line->flags = (uint8_t)(line->flags | flags);
}

static inline void rpmsg_gpio_line_clear(struct rpmsg_gpio_line *line, unsigned int flags)
{
	line->flags = (uint8_t)(line->flags & ~flags);
}

/* The documented form is the padded one from its second byte on, the queue in there. */
static inline size_t rpmsg_gpio_unpadded(const struct rpmsg_gpio_device *device)
{
	return device->config->dialect == RPMSG_GPIO_DIALECT_DOCUMENTED;
}

/* SET_IRQ_TYPE; false: ERR. */
bool rpmsg_gpio_irq_set_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			     uint32_t type);
/* Stop and forget. */
void rpmsg_gpio_irq_disable(struct rpmsg_gpio_device *device, uint16_t gpio);
/* GRANT_CREDITS; false: ERR. */
bool rpmsg_gpio_irq_grant(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint32_t granted);
/* These features are accepted now: what is kept for lines is sent by their rules. */
void rpmsg_gpio_use_features(struct rpmsg_gpio_device *device, uint32_t features);
/* Send what waits in `reply`. False: it still waits. */
bool rpmsg_gpio_flush(struct rpmsg_gpio_device *device);

#endif
