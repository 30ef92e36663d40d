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

#ifdef RPMSG_GPIO_USER_CONFIG
#include RPMSG_GPIO_USER_CONFIG
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
 * TX_SIZE: messages on their way to the driver; the longest is
 * RPMSG_GPIO_MESSAGE_MAX and needs 4 more. RX_MAX: longest message from the
 * driver. RX_RING: between the UART's interrupt and the main loop, a power of
 * two. RX_WINDOW: messages that the driver may send before the first of them
 * is acknowledged; no memory, but a long window makes the ring overflow.
 * EVENT_MAX: event_max of a channel behind it, four records: on a noisy line a
 * frame of 500 bytes hardly ever arrives whole.
 */
#ifndef RPMSG_GPIO_SERIAL_EVENT_MAX
#define RPMSG_GPIO_SERIAL_EVENT_MAX 64
#endif
#ifndef RPMSG_GPIO_SERIAL_TX_SIZE
#define RPMSG_GPIO_SERIAL_TX_SIZE 560
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
