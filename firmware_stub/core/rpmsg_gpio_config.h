/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_config.h - what an integrator may change, with its defaults.
 *
 * Do not edit: name a header of your own on the compiler's command line,
 *     -DRPMSG_GPIO_USER_CONFIG='"my_rpmsg_gpio_config.h"'
 * and define there only what differs.
 */
#ifndef RPMSG_GPIO_CONFIG_H
#define RPMSG_GPIO_CONFIG_H

#include "rpmsg_gpio.h"

#ifdef RPMSG_GPIO_USER_CONFIG
#include RPMSG_GPIO_USER_CONFIG
#endif

/*
 * The extensions that are compiled in (RPMSG_GPIO_F_*), 0 for the baseline alone.
 * What is left out costs no flash; what is in may still not be offered, by the
 * configuration of each device. COUNTERS help to find a fault:
 *     #define RPMSG_GPIO_FEATURES (RPMSG_GPIO_FEATURES_USUAL | RPMSG_GPIO_F_COUNTERS)
 */
#define RPMSG_GPIO_FEATURES_USUAL \
	(RPMSG_GPIO_F_CONFIG | RPMSG_GPIO_F_NAMES | RPMSG_GPIO_F_TAG | \
	 RPMSG_GPIO_F_EPOCH | RPMSG_GPIO_F_CREDITS | RPMSG_GPIO_F_TIMESTAMP | \
	 RPMSG_GPIO_F_BULK | RPMSG_GPIO_F_LINE_CONFIG)
#ifndef RPMSG_GPIO_FEATURES
#define RPMSG_GPIO_FEATURES RPMSG_GPIO_FEATURES_USUAL
#endif

/*
 * RPMSG_GPIO_SELF_TEST, not defined: a board can check its pins (rpmsg_gpio_self_test.h). With
 * COUNTERS, which then tell the result.
 */

/*
 * Bytes of RAM for the longest message to the driver, in each device: a piece of
 * the names needs RPMSG_GPIO_MESSAGE_MAX. Without NAMES 48 are enough, for
 * GET_CONFIG, and more carry more event records at a time.
 */
#ifndef RPMSG_GPIO_REPLY_MAX
#if RPMSG_GPIO_FEATURES & RPMSG_GPIO_F_NAMES
#define RPMSG_GPIO_REPLY_MAX RPMSG_GPIO_MESSAGE_MAX
#else
#define RPMSG_GPIO_REPLY_MAX 64
#endif
#endif

/*
 * Orders the stores of rpmsg_gpio_device_irq() before those who look at them
 * in rpmsg_gpio_device_run(). Nothing is needed where both run on one core,
 * the usual interrupt against main loop: the bytes are volatile. Where another
 * core or thread calls rpmsg_gpio_device_irq(), make it a full barrier, for
 * example __sync_synchronize() or __DMB().
 */
#ifndef RPMSG_GPIO_BARRIER
#define RPMSG_GPIO_BARRIER() ((void)0)
#endif

/*
 * Serial framing (rpmsg_gpio_serial.h), bytes of RAM each.
 * TX_SIZE: messages on their way to the driver; the longest has
 * RPMSG_GPIO_REPLY_MAX and needs 4 more. RX_MAX: longest message from the
 * driver, at least 28 with BULK, 20 with LINE_CONFIG, else 16. RX_RING: between
 * the UART's interrupt and the main loop, a power of two. RX_WINDOW: messages
 * that the driver may send before the first of them is acknowledged; no memory,
 * but a long window makes the ring overflow.
 * EVENT_MAX: event_max of a channel behind it, four records: on a noisy line a
 * frame of 500 bytes hardly ever arrives whole.
 */
#ifndef RPMSG_GPIO_SERIAL_EVENT_MAX
#define RPMSG_GPIO_SERIAL_EVENT_MAX 64
#endif
#ifndef RPMSG_GPIO_SERIAL_TX_SIZE
#define RPMSG_GPIO_SERIAL_TX_SIZE (RPMSG_GPIO_REPLY_MAX + 64)
#endif
#ifndef RPMSG_GPIO_SERIAL_RX_MAX
#define RPMSG_GPIO_SERIAL_RX_MAX 64
#endif
#ifndef RPMSG_GPIO_SERIAL_RX_RING
#define RPMSG_GPIO_SERIAL_RX_RING 128
#endif
#ifndef RPMSG_GPIO_SERIAL_RX_WINDOW
#define RPMSG_GPIO_SERIAL_RX_WINDOW 8
#endif

#endif
