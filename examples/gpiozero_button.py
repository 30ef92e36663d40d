# SPDX-License-Identifier: BSD-3-Clause
"""gpiozero on lines of the coprocessor: a LED that the button switches, three times.

pip install 'rpmsg-gpio-bridge[gpiozero]'; GPIOZERO_PIN_FACTORY=rpmsg python gpiozero_button.py
"""

from threading import Semaphore

from gpiozero import LED, Button

led = LED("rpmsg:LED_GREEN")
button = Button("rpmsg:BUTTON_USER")
presses = Semaphore(0)


def pressed():
    """Switch the LED; gpiozero calls this at every press, in a thread of its own."""
    led.toggle()
    print(f"pressed: LED_GREEN {'on' if led.is_lit else 'off'}", flush=True)
    presses.release()


button.when_pressed = pressed
print("Press the button", flush=True)
for _ in range(3):
    presses.acquire()
