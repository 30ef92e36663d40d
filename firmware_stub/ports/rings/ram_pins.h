/* SPDX-License-Identifier: BSD-3-Clause */
/* ram_pins.h - the interrupt of pins in RAM. */
#ifndef RAM_PINS_H
#define RAM_PINS_H

/* The emulator of the board has changed what drives the pins. */
void ram_pins_interrupt(void);

#endif
