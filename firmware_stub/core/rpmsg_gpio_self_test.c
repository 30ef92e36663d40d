/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpmsg_gpio_self_test.h"

#ifdef RPMSG_GPIO_SELF_TEST

#include "rpmsg_gpio_internal.h"

/* At a pin or for its interrupt: a pin needs some cycles to follow. */
#define LOOKS 10000u

static const struct rpmsg_gpio_port *port(const struct rpmsg_gpio_device *device)
{
	return device->config->port;
}

static bool drive(const struct rpmsg_gpio_device *device, uint16_t gpio, uint8_t level)
{
	return port(device)->set_value(device->config->port_context, gpio, level);
}

static bool direct(const struct rpmsg_gpio_device *device, uint16_t gpio, uint8_t direction)
{
	return port(device)->set_direction(device->config->port_context, gpio, direction, 0);
}

static bool listen_to(const struct rpmsg_gpio_device *device, uint16_t gpio, uint8_t type)
{
	return port(device)->set_irq_type(device->config->port_context, gpio, type);
}

static bool shows(const struct rpmsg_gpio_device *device, uint16_t gpio, bool level)
{
	unsigned int looks = LOOKS;
	uint8_t value;

	while (looks--)
		if (port(device)->get_value(device->config->port_context, gpio, &value) &&
		    (value != 0) == level)
			return true;
	return false;
}

/* How far the interrupts of a line have come: it changes with each. */
static uint32_t interrupts(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	if (EXTENDED_EVENTS && device->config->streams)
		return device->config->streams[gpio].edges;
	return device->config->lines[gpio].fired;
}

static bool interrupted(const struct rpmsg_gpio_device *device, uint16_t gpio, uint32_t before)
{
	unsigned int looks = LOOKS;

	while (looks--)
		if (interrupts(device, gpio) != before)
			return true;
	return false;
}

static bool unused(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	return line->direction == VIRTIO_GPIO_DIRECTION_NONE &&
	       line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE;
}

/* Returns what is wrong, or NULL. */
static const char *check_output(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	if (!direct(device, gpio, VIRTIO_GPIO_DIRECTION_OUT))
		return "cannot be an output";
	if (!shows(device, gpio, false))
		return "is high, driven low";
	if (!drive(device, gpio, 1) || !shows(device, gpio, true))
		return "is low, driven high";
	if (!drive(device, gpio, 0) || !shows(device, gpio, false))
		return "stays high";
	return NULL;
}

static const char *check_edge(const struct rpmsg_gpio_device *device,
			      const struct rpmsg_gpio_self_test_wire *wire, uint8_t level)
{
	uint32_t before;

	device->config->lines[wire->in].fired = 0;
	before = interrupts(device, wire->in);
	if (!drive(device, wire->out, level) || !shows(device, wire->in, level))
		return "does not follow its wire";
	return interrupted(device, wire->in, before) ? NULL : "has no interrupt at an edge";
}

static const char *check_wire(const struct rpmsg_gpio_device *device,
			      const struct rpmsg_gpio_self_test_wire *wire)
{
	const char *wrong;

	if (!direct(device, wire->out, VIRTIO_GPIO_DIRECTION_OUT) ||
	    !direct(device, wire->in, VIRTIO_GPIO_DIRECTION_IN) || !shows(device, wire->in, false))
		return "does not follow its wire";
	if (!listen_to(device, wire->in, VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH))
		return "refuses an interrupt at both edges";
	wrong = check_edge(device, wire, 1);
	return wrong ? wrong : check_edge(device, wire, 0);
}

/* As after a reset; what its interrupts have stored is forgotten as that of a disabled line. */
static void give_back(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	(void)listen_to(device, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
	(void)direct(device, gpio, VIRTIO_GPIO_DIRECTION_NONE);
	device->config->lines[gpio].fired = 0;
}

static bool told(const struct rpmsg_gpio_self_test *test, uint16_t gpio, const char *wrong)
{
	if (wrong && test->fault)
		test->fault(test->context, gpio, wrong);
	return wrong;
}

static bool output_fails(const struct rpmsg_gpio_device *device,
			 const struct rpmsg_gpio_self_test *test, uint16_t gpio)
{
	const char *wrong;

	if (gpio >= device->config->ngpio)
		return told(test, gpio, "does not exist");
	if (!unused(device, gpio))
		return false;
	wrong = check_output(device, gpio);
	give_back(device, gpio);
	return told(test, gpio, wrong);
}

static bool wire_fails(const struct rpmsg_gpio_device *device,
		       const struct rpmsg_gpio_self_test *test,
		       const struct rpmsg_gpio_self_test_wire *wire)
{
	const char *wrong;

	if (wire->out >= device->config->ngpio || wire->in >= device->config->ngpio)
		return told(test, wire->in, "or the other end of its wire does not exist");
	if (!unused(device, wire->out) || !unused(device, wire->in))
		return false;
	wrong = check_wire(device, wire);
	give_back(device, wire->in);
	give_back(device, wire->out);
	return told(test, wire->in, wrong);
}

uint32_t rpmsg_gpio_self_test(struct rpmsg_gpio_device *device,
			      const struct rpmsg_gpio_self_test *test)
{
	uint32_t faults = 0;
	uint16_t i;

	for (i = 0; i < test->output_count; i++)
		faults += output_fails(device, test, test->outputs[i]);
	for (i = 0; i < test->wire_count; i++)
		faults += wire_fails(device, test, &test->wires[i]);
#if HAS(RPMSG_GPIO_F_COUNTERS)
	device->counters.self_test = faults + 1;
#endif
	return faults;
}

#endif
