/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_gpio_event.c - interrupts and events (docs/protocol.md 4.1 and 11.1 to
 * 11.3).
 *
 * Three ways from an edge to its event: masking and re-arm with the baseline's
 * event, the same with records (TIMESTAMP alone, and level types), and credits.
 * With records, edges pass a FIFO that the interrupt side fills; an edge that
 * finds it full leaves its number and level in its line.
 */
#include <string.h>

#include "rpmsg_gpio_internal.h"

/* struct rpmsg_gpio_stream.edges */
#define STREAM_HIGH   1u
#define STREAM_MISSED 2u
#define STREAM_EDGE   4u /* one more */
#define COUNT_MASK    0x3fffffffu

/* struct rpmsg_gpio_edge.number. An edge further ahead of what was dealt with finds no room. The
 * numbers beyond are those of the past. */
#define NUMBER_MASK  0x7fffu
#define NUMBER_AHEAD 0x7e00u
#define NO_GPIO      0xffffu /* struct rpmsg_gpio_edge.gpio: of an earlier time */

/* An edge on its way into a message. */
struct edge {
	uint64_t timestamp;
	uint32_t sequence; /* in the driver's count */
	uint16_t gpio;
	uint8_t flags; /* RPMSG_GPIO_EVENT_* */
};

static bool is_level(uint8_t type)
{
	return type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool is_irq_type(uint32_t type)
{
	return type <= VIRTIO_GPIO_IRQ_TYPE_LEVEL_HIGH ||
	       type == VIRTIO_GPIO_IRQ_TYPE_LEVEL_LOW;
}

static bool has_records(const struct rpmsg_gpio_device *device)
{
	return device->features & EXTENDED_EVENTS;
}

static bool uses_credits(const struct rpmsg_gpio_device *device,
			 const struct rpmsg_gpio_line *line)
{
	return device->features & HAS(RPMSG_GPIO_F_CREDITS) && !is_level(line->irq_type);
}

static bool has_credit(const struct rpmsg_gpio_stream *stream)
{
	return (int32_t)(stream->granted - stream->sent) > 0;
}

static uint32_t count_of(const struct rpmsg_gpio_stream *stream)
{
	return stream->edges / STREAM_EDGE;
}

/* How many edges came since the last one that was dealt with, when `count` came in all. */
static uint32_t ahead_of(const struct rpmsg_gpio_stream *stream, uint32_t count)
{
	return (count - stream->base - stream->last) & COUNT_MASK;
}

/* ---- the interrupt side ---------------------------------------------------- */

static void wake(struct rpmsg_gpio_device *device)
{
	/* The line is stored first: whoever sees `pending` must find the line. */
	RPMSG_GPIO_BARRIER();
	device->pending = 1;
}

void rpmsg_gpio_device_lost(struct rpmsg_gpio_device *device, uint16_t gpio, uint32_t edges)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	if (EXTENDED_EVENTS && config->streams && gpio < config->ngpio)
		config->streams[gpio].edges =
			config->streams[gpio].edges + edges * STREAM_EDGE;
}

void rpmsg_gpio_device_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	if (gpio >= config->ngpio)
		return;
	if (EXTENDED_EVENTS && config->streams)
		config->streams[gpio].edges =
			(count_of(&config->streams[gpio]) + 1) * STREAM_EDGE;
	/* Whoever sees that the line fired must find its number. */
	RPMSG_GPIO_BARRIER();
	config->lines[gpio].fired = 1;
	wake(device);
}

static bool fifo_full(const struct rpmsg_gpio_device *device)
{
	return (uint16_t)(device->edge_head - device->edge_tail) ==
	       device->config->edge_count;
}

static volatile struct rpmsg_gpio_edge *fifo_at(const struct rpmsg_gpio_device *device,
						uint16_t at)
{
	return &device->config->edges[at & (device->config->edge_count - 1u)];
}

void rpmsg_gpio_device_edge(struct rpmsg_gpio_device *device, uint16_t gpio,
			    bool level, uint64_t timestamp)
{
	const uint32_t high = level ? STREAM_HIGH : 0;
	struct rpmsg_gpio_stream *stream;
	volatile struct rpmsg_gpio_edge *edge;
	uint32_t count;

	if (gpio >= device->config->ngpio)
		return;
	if (!has_records(device)) {
		rpmsg_gpio_device_irq(device, gpio);
		return;
	}
	stream = &device->config->streams[gpio];
	count = count_of(stream) + 1;
	if (!fifo_full(device) && ahead_of(stream, count) <= NUMBER_AHEAD) {
		stream->edges = count * STREAM_EDGE;
		edge = fifo_at(device, device->edge_head);
		edge->time_low = (uint32_t)timestamp;
		edge->time_high = (uint32_t)(timestamp >> 32);
		edge->gpio = gpio;
		edge->number = (uint16_t)(count << 1 | high);
		RPMSG_GPIO_BARRIER();
		device->edge_head = (uint16_t)(device->edge_head + 1);
	} else {
		stream->edges = count * STREAM_EDGE | STREAM_MISSED | high;
		COUNT(device, overruns);
		RPMSG_GPIO_BARRIER();
		device->overflowed = 1;
	}
	wake(device);
}

/* ---- the irq type ------------------------------------------------------------ */

/* Take what the interrupt stored into the state of the line. It is cleared first: an interrupt
 * before that is part of this firing, and one after it is the next. */
static void take_fired(const struct rpmsg_gpio_device *device, struct rpmsg_gpio_line *line)
{
	if (!line->fired)
		return;
	line->fired = 0;
	RPMSG_GPIO_BARRIER();
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return;
	if (uses_credits(device, line) ||
	    (line->flags & (LINE_DUE | LINE_MASKED) && !is_level(line->irq_type))) {
		/* This edge is the latest now, and has no record, unlike one that was latched
		 * before. */
		if (!(line->flags & LINE_DUE))
			rpmsg_gpio_line_clear(line, LINE_RECORD);
		rpmsg_gpio_line_set(line, LINE_LATCHED);
	} else if (!(line->flags & LINE_MASKED))
		rpmsg_gpio_line_set(line, LINE_DUE);
}

/* With CREDITS an edge waits for credits, without them for the re-arm. This is done at once and
 * for every line, so that nothing depends on when the next event finds a buffer. */
void rpmsg_gpio_use_features(struct rpmsg_gpio_device *device, uint32_t features)
{
	uint32_t credits = features & HAS(RPMSG_GPIO_F_CREDITS);
	bool changed = (device->features & HAS(RPMSG_GPIO_F_CREDITS)) != credits;
	uint16_t gpio;

	device->features = features;
	device->pending = 1;
	for (gpio = 0; changed && gpio < device->config->ngpio; gpio++) {
		struct rpmsg_gpio_line *line = &device->config->lines[gpio];
		bool waits = line->flags & (LINE_DUE | LINE_LATCHED);

		if (is_level(line->irq_type))
			continue;
		rpmsg_gpio_line_clear(line, LINE_IRQ);
		if (waits)
			rpmsg_gpio_line_set(line, credits ? LINE_LATCHED : LINE_DUE);
	}
}

static bool port_irq_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint8_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->set_irq_type(config->port_context, gpio, type);
}

void rpmsg_gpio_irq_disable(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (line->irq_type != VIRTIO_GPIO_IRQ_TYPE_NONE)
		(void)port_irq_type(device, gpio, VIRTIO_GPIO_IRQ_TYPE_NONE);
	line->irq_type = VIRTIO_GPIO_IRQ_TYPE_NONE;
	rpmsg_gpio_line_clear(line, LINE_IRQ | LINE_RECORD);
}

static void begin_stream(struct rpmsg_gpio_stream *stream)
{
	stream->base = count_of(stream);
	stream->last = 0;
	stream->granted = 0;
	stream->sent = 0;
}

/* Clears all but what belongs to the interrupt side. */
static void restore_stream(struct rpmsg_gpio_stream *stream,
			   const struct rpmsg_gpio_stream *old)
{
	stream->base = old->base;
	stream->last = old->last;
	stream->granted = old->granted;
	stream->sent = old->sent;
	stream->held_low = old->held_low;
	stream->held_high = old->held_high;
}

/* Edges of a line that are in the FIFO before `head` become those of an earlier time. */
static void forget_edges(const struct rpmsg_gpio_device *device, uint16_t gpio, uint16_t head)
{
	uint16_t at;

	for (at = device->edge_tail; at != head; at++)
		if (fifo_at(device, at)->gpio == gpio)
			fifo_at(device, at)->gpio = NO_GPIO;
}

static bool enable_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	/* An edge that was on its way when the line was disabled is no event now. */
	line->fired = 0;
	if (EXTENDED_EVENTS && device->config->streams)
		begin_stream(&device->config->streams[gpio]);
	if (!port_irq_type(device, gpio, type))
		return false;
	line->irq_type = type;
	return true;
}

/* The same for good: nothing can bring the edges from before back. */
static bool start_irq(struct rpmsg_gpio_device *device, uint16_t gpio, uint8_t type)
{
	uint16_t head = device->edge_head;

	RPMSG_GPIO_BARRIER();
	if (!enable_irq(device, gpio, type))
		return false;
	if (EXTENDED_EVENTS)
		forget_edges(device, gpio, head);
	return true;
}

/* The same type again: unmask. A latched edge is due at once. */
static bool rearm_irq(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (uses_credits(device, line))
		return !device->config->strict;
	/* A firing under the mask must not count as one after it. */
	take_fired(device, line);
	/* The port must not look at the pin again either: a level that is still active would
	 * count twice. */
	if (!(line->flags & LINE_MASKED))
		return !device->config->strict;
	if (!port_irq_type(device, gpio, line->irq_type))
		return false;
	if (line->flags & LINE_LATCHED)
		rpmsg_gpio_line_set(line, LINE_DUE);
	rpmsg_gpio_line_clear(line, LINE_MASKED | LINE_LATCHED);
	device->pending = 1;
	return true;
}

/* Another type without NONE in between does the same as with NONE in between. When a port refuses
 * the new type, the old one is set again, as if nothing had been asked. */
static bool change_irq(struct rpmsg_gpio_device *device, uint16_t gpio,
		       uint8_t type)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct rpmsg_gpio_stream *stream = EXTENDED_EVENTS ? device->config->streams : NULL;
	struct rpmsg_gpio_stream old_stream;
	uint8_t old_type = line->irq_type;
	unsigned int old_flags;

	if (device->config->strict)
		return false;
	take_fired(device, line);
	old_flags = line->flags & (LINE_IRQ | LINE_RECORD);
	if (stream)
		old_stream = *(stream += gpio);
	rpmsg_gpio_irq_disable(device, gpio);
	if (start_irq(device, gpio, type))
		return true;
	if (enable_irq(device, gpio, old_type)) {
		if (stream)
			restore_stream(stream, &old_stream);
		rpmsg_gpio_line_set(line, old_flags);
		device->pending = 1;
	}
	return false;
}

bool rpmsg_gpio_irq_set_type(struct rpmsg_gpio_device *device, uint16_t gpio,
			     uint32_t type)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	const struct rpmsg_gpio_line *line = &config->lines[gpio];

	if (!is_irq_type(type))
		return false;
	if (config->strict && line->direction == VIRTIO_GPIO_DIRECTION_OUT)
		return false;
	if (type == VIRTIO_GPIO_IRQ_TYPE_NONE) {
		rpmsg_gpio_irq_disable(device, gpio);
		return true;
	}
	if (config->strict && line->direction != VIRTIO_GPIO_DIRECTION_IN)
		return false;
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return start_irq(device, gpio, (uint8_t)type);
	if (line->irq_type == type)
		return rearm_irq(device, gpio);
	return change_irq(device, gpio, (uint8_t)type);
}

bool rpmsg_gpio_irq_grant(struct rpmsg_gpio_device *device, uint16_t gpio,
			  uint32_t granted)
{
	const struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];

	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE || !uses_credits(device, line))
		return false;
	if ((int32_t)(granted - stream->granted) > 0)
		stream->granted = granted;
	device->pending = 1;
	return true;
}

/* ---- events in the baseline's form --------------------------------------------- */

static bool transmit(struct rpmsg_gpio_device *device, const void *message,
		     size_t length)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	if (!config->channel->send(config->channel_context, message, length)) {
		COUNT(device, starved);
		return false;
	}
	COUNT(device, sent);
	return true;
}

static bool send_plain(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	size_t skip = rpmsg_gpio_unpadded(device);
	const struct rpmsg_gpio_padded_irq irq = {
		RPMSG_GPIO_QUEUE_EVENT, skip ? RPMSG_GPIO_QUEUE_EVENT : 0,
		rpmsg_gpio_store16(gpio) };

	return transmit(device, (const uint8_t *)&irq + skip, sizeof(irq) - skip);
}

/* ---- events as records ----------------------------------------------------------- */

bool rpmsg_gpio_flush(struct rpmsg_gpio_device *device)
{
	if (!device->reply_length)
		return true;
	if (!transmit(device, device->reply, device->reply_length))
		return false;
	device->reply_length = 0;
	return true;
}

/* The records gathered so far become a message that waits like a reply does:
 * no request is taken before it, so none can be overtaken by them. */
static bool flush_batch(struct rpmsg_gpio_device *device)
{
	device->reply_length = device->batch_length;
	device->batch_length = 0;
	return rpmsg_gpio_flush(device);
}

static size_t record_size(const struct rpmsg_gpio_device *device)
{
	return device->features & HAS(RPMSG_GPIO_F_TIMESTAMP) ?
	       sizeof(struct rpmsg_gpio_timed_event) : sizeof(struct rpmsg_gpio_event);
}

static size_t batch_max(const struct rpmsg_gpio_device *device)
{
	size_t max = device->config->channel->event_max;

	return max && max < sizeof(device->reply) ? max : sizeof(device->reply);
}

/* Returns false when there is neither room in the message nor a transmit buffer. */
static bool put_record(struct rpmsg_gpio_device *device, const struct edge *edge)
{
	struct rpmsg_gpio_timed_event record;
	size_t size = record_size(device);

	if (device->batch_length && device->batch_length + size > batch_max(device) &&
	    !flush_batch(device))
		return false;
	record.event.queue = RPMSG_GPIO_QUEUE_EVENT;
	record.event.flags = edge->flags;
	record.event.gpio = rpmsg_gpio_store16(edge->gpio);
	record.event.sequence = rpmsg_gpio_store32(edge->sequence);
	record.timestamp = rpmsg_gpio_store64(edge->timestamp);
	memcpy(device->reply + device->batch_length, &record, size);
	device->batch_length = (uint16_t)(device->batch_length + size);
	return true;
}

static uint64_t time_now(const struct rpmsg_gpio_device *device)
{
	const struct rpmsg_gpio_device_config *config = device->config;

	return config->port->get_time ? config->port->get_time(config->port_context) : 0;
}

/* A firing that came without its level and time gets those of now. In this order an edge that
 * comes meanwhile is the next one, or the level of this one is that after it. */
static void look(struct rpmsg_gpio_device *device, uint16_t gpio, struct edge *edge)
{
	const struct rpmsg_gpio_device_config *config = device->config;
	const struct rpmsg_gpio_stream *stream = &config->streams[gpio];
	uint16_t head = device->edge_head;
	uint8_t level = 0;
	uint32_t ahead;

	RPMSG_GPIO_BARRIER();
	edge->timestamp = time_now(device);
	ahead = ahead_of(stream, count_of(stream));
	edge->sequence = stream->last + ahead;
	if (ahead > 1)
		forget_edges(device, gpio, head);
	RPMSG_GPIO_BARRIER();
	(void)config->port->get_value(config->port_context, gpio, &level);
	edge->gpio = gpio;
	edge->flags = (uint8_t)(RPMSG_GPIO_EVENT_LATE | (level ? RPMSG_GPIO_EVENT_HIGH : 0));
}

/* Keeps the latest edge of a line that may not send one now; `last` has its number. */
static void hold(struct rpmsg_gpio_line *line, struct rpmsg_gpio_stream *stream,
		 const struct edge *edge)
{
	stream->held_low = (uint32_t)edge->timestamp;
	stream->held_high = (uint32_t)(edge->timestamp >> 32);
	rpmsg_gpio_line_clear(line, LINE_RECORD);
	rpmsg_gpio_line_set(line, LINE_LATCHED | LINE_HELD |
		(edge->flags & RPMSG_GPIO_EVENT_HIGH ? LINE_HIGH : 0) |
		(edge->flags & RPMSG_GPIO_EVENT_LATE ? LINE_LATE : 0));
}

/* Send an edge, or keep it until it may be sent. False: no transmit buffer. */
static bool route(struct rpmsg_gpio_device *device, const struct edge *edge)
{
	struct rpmsg_gpio_line *line = &device->config->lines[edge->gpio];
	struct rpmsg_gpio_stream *stream = &device->config->streams[edge->gpio];
	bool credits = uses_credits(device, line);
	bool open = credits ? has_credit(stream) && !(line->flags & LINE_LATCHED) :
			      !(line->flags & (LINE_DUE | LINE_MASKED));

	if (!open) {
		hold(line, stream, edge);
	} else if (!put_record(device, edge)) {
		return false;
	} else if (credits) {
		stream->sent++;
	} else {
		rpmsg_gpio_line_set(line, LINE_MASKED);
	}
	stream->last = edge->sequence;
	return true;
}

/* An edge as it is in the FIFO. False: it is of an earlier time. */
static bool read_edge(const struct rpmsg_gpio_device *device,
		      const volatile struct rpmsg_gpio_edge *kept, struct edge *edge)
{
	const struct rpmsg_gpio_stream *stream;
	uint32_t ahead;

	edge->gpio = kept->gpio;
	if (edge->gpio == NO_GPIO ||
	    device->config->lines[edge->gpio].irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return false;
	stream = &device->config->streams[edge->gpio];
	ahead = ahead_of(stream, kept->number >> 1) & NUMBER_MASK;
	edge->sequence = stream->last + ahead;
	edge->flags = kept->number & STREAM_HIGH ? RPMSG_GPIO_EVENT_HIGH : 0;
	edge->timestamp = (uint64_t)kept->time_high << 32 | kept->time_low;
	return ahead && ahead <= NUMBER_AHEAD;
}

/* Handles one edge of the FIFO, which stays there when there is no transmit buffer for it. */
static bool take_edge(struct rpmsg_gpio_device *device)
{
	uint16_t tail = device->edge_tail;
	struct edge edge;

	if (!read_edge(device, fifo_at(device, tail), &edge)) {
		/* dropped */
	} else if (!has_records(device)) {
		device->config->lines[edge.gpio].fired = 1; /* the features changed meanwhile */
		device->pending = 1;
	} else if (!route(device, &edge)) {
		return false;
	}
	RPMSG_GPIO_BARRIER();
	device->edge_tail = (uint16_t)(tail + 1);
	return true;
}

static bool drain(struct rpmsg_gpio_device *device)
{
	uint16_t count = (uint16_t)(device->edge_head - device->edge_tail);

	RPMSG_GPIO_BARRIER();
	while (count--)
		if (!take_edge(device))
			return false;
	/* Edges that came meanwhile wait for the next call, so that the work of one is bounded. */
	if (device->edge_head != device->edge_tail)
		device->pending = 1;
	return true;
}

static bool in_fifo(const struct rpmsg_gpio_device *device, uint16_t gpio)
{
	uint16_t at = device->edge_tail, head = device->edge_head;

	RPMSG_GPIO_BARRIER();
	while (at != head && fifo_at(device, at)->gpio != gpio)
		at++;
	return at != head;
}

/* Handles an edge that found the FIFO full, unless a later one was handled already. */
static bool take_missed(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	const struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];
	uint32_t edges = stream->edges;
	uint32_t ahead = ahead_of(stream, edges / STREAM_EDGE);
	struct edge edge;

	if (!(edges & STREAM_MISSED) || !ahead ||
	    device->config->lines[gpio].irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return true;
	/* The time is read first: an edge that is not in the FIFO now will be later than that. An
	 * edge that is there goes first, or shows by its number that this one did. */
	edge.timestamp = time_now(device);
	if (in_fifo(device, gpio)) {
		device->overflowed = 1;
		return true;
	}
	edge.sequence = stream->last + ahead;
	edge.gpio = gpio;
	edge.flags = (uint8_t)(RPMSG_GPIO_EVENT_LATE | (edges & STREAM_HIGH ? RPMSG_GPIO_EVENT_HIGH : 0));
	return route(device, &edge);
}

static bool take_all_missed(struct rpmsg_gpio_device *device)
{
	uint16_t gpio;

	if (!device->overflowed || !has_records(device))
		return true;
	device->overflowed = 0;
	RPMSG_GPIO_BARRIER();
	for (gpio = 0; gpio < device->config->ngpio; gpio++) {
		if (!take_missed(device, gpio)) {
			device->overflowed = 1;
			return false;
		}
	}
	return true;
}

/* Send what a line has kept. False: no transmit buffer. */
static bool send_held(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_stream *stream = &device->config->streams[gpio];
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	struct edge edge;

	edge.timestamp = (uint64_t)stream->held_high << 32 | stream->held_low;
	edge.sequence = stream->last;
	edge.gpio = gpio;
	edge.flags = (uint8_t)((line->flags & LINE_HIGH ? RPMSG_GPIO_EVENT_HIGH : 0) |
			       (line->flags & LINE_LATE ? RPMSG_GPIO_EVENT_LATE : 0));
	/* The edge has no record of its own, or was latched before there were records. */
	if (!(line->flags & LINE_HELD))
		look(device, gpio, &edge);
	if (!put_record(device, &edge))
		return false;
	rpmsg_gpio_line_clear(line, LINE_RECORD);
	stream->last = edge.sequence;
	return true;
}

/* ---- lines in turn ------------------------------------------------------------------ */

static bool run_credits(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	if (!(line->flags & LINE_LATCHED) || !has_credit(&device->config->streams[gpio]))
		return true;
	if (!send_held(device, gpio))
		return false;
	device->config->streams[gpio].sent++;
	rpmsg_gpio_line_clear(line, LINE_LATCHED);
	return true;
}

static bool run_armed(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];
	unsigned int told = LINE_DUE | LINE_RECORD;

	if (!(line->flags & LINE_DUE))
		return true;
	if (has_records(device)) {
		/* An event without a record reports the latest edge: no other edge is behind it. */
		if (!(line->flags & LINE_HELD))
			told |= LINE_LATCHED;
		if (!send_held(device, gpio))
			return false;
	} else if (!send_plain(device, gpio)) {
		return false;
	}
	rpmsg_gpio_line_clear(line, told);
	rpmsg_gpio_line_set(line, LINE_MASKED);
	return true;
}

static bool run_line(struct rpmsg_gpio_device *device, uint16_t gpio)
{
	struct rpmsg_gpio_line *line = &device->config->lines[gpio];

	take_fired(device, line);
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE)
		return true;
	return uses_credits(device, line) ? run_credits(device, gpio) :
					    run_armed(device, gpio);
}

static bool run_lines(struct rpmsg_gpio_device *device)
{
	uint16_t ngpio = device->config->ngpio;
	uint16_t n;

	for (n = 0; n < ngpio; n++) {
		if (!run_line(device, device->scan))
			return false;
		/* The search goes on where it stopped, so that no line starves the others. */
		device->scan = (uint16_t)(device->scan + 1 < ngpio ?
					  device->scan + 1 : 0);
	}
	return true;
}

bool rpmsg_gpio_device_run(struct rpmsg_gpio_device *device)
{
	bool done;

	if (!rpmsg_gpio_flush(device))
		return false;
	if (!device->pending || device->refused)
		return true;
	/* Cleared before the lines are read: an interrupt behind the scan is
	 * found by the next call. */
	device->pending = 0;
	RPMSG_GPIO_BARRIER();
	/* The kept edges are older than those in the FIFO, and these older than
	 * those that found it full. */
	done = run_lines(device);
	if (EXTENDED_EVENTS && done)
		done = drain(device) && take_all_missed(device);
	if (EXTENDED_EVENTS && device->batch_length && !flush_batch(device))
		done = false;
	if (!done)
		device->pending = 1;
	return done;
}

bool rpmsg_gpio_device_armed(const struct rpmsg_gpio_device *device,
			     uint16_t gpio)
{
	const struct rpmsg_gpio_stream *stream;
	const struct rpmsg_gpio_line *line;
	uint32_t ahead;

	if (gpio >= device->config->ngpio)
		return false;
	line = &device->config->lines[gpio];
	if (line->irq_type == VIRTIO_GPIO_IRQ_TYPE_NONE || line->flags & LINE_IRQ ||
	    line->fired)
		return false;
	if (!has_records(device))
		return true;
	stream = &device->config->streams[gpio];
	ahead = ahead_of(stream, count_of(stream));
	if (fifo_full(device) || ahead >= NUMBER_AHEAD)
		return false;
	/* Those that had plain events, before there were records, are not on their way. */
	if (!(stream->edges & STREAM_MISSED) && !in_fifo(device, gpio))
		ahead = 0;
	if (!uses_credits(device, line))
		return !ahead;
	return (int32_t)(stream->granted - stream->sent - ahead) > 0;
}
