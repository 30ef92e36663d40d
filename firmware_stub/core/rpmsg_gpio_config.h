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

#endif
