/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes whatever it likes into its rings and buffers. A state is a
 * small program of changes to rings that were right; it comes from a file of the
 * corpus or from a generator.
 *
 *     test_hostile_guest [STATES [SEED]]    generated states after the corpus
 *     test_hostile_guest FILE               one state
 *
 * The state in hand is in build/hostile-guest.state when the process dies.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "../shim/core_link.h"
#include "export/export.h"
#include "virtio/split_ring.h"
#include "virtio/vhost_user.h"

#define LINES_EXPORTED 8
#define NUM            16
#define MEMORY         (64u << 10)
#define GUEST_ADDR     UINT64_C(0x40000000)
#define USER_ADDR      UINT64_C(0x700000000000)
#define RING           0x1000u
#define USED           0x800u
#define BUFFERS        0x4000u
#define TABLES         0x6000u /* a table of 8 descriptors for each head of both queues */
#define TABLE_DESCS    8u
#define STATE_MAX      48u
#define CORPUS         "tests/export/corpus"
#define DEADLINE_MS    30000

struct guest_side {
	const char *name;
	int socket, memfd, kick[2], call[2];
	uint8_t *memory;
	size_t size;
	bool up;
};

static struct session session;
static struct gb_export *exports[2];
static uint8_t *state_in_hand;
static unsigned long cut_off;

/* ---- the front-end ------------------------------------------------------------ */

static int say(struct guest_side *g, uint32_t request, const void *payload, uint32_t size, int fd,
	       bool answered, struct vhost_user_message *answer)
{
	struct vhost_user_message message = {
		.header = {request, VHOST_USER_VERSION, size}, .fds = {fd}, .fd_count = fd >= 0,
	};
	struct vhost_user_receiver receiver = {0};

	memcpy(&message.payload, payload, size);
	if (vhost_user_send(g->socket, &message, vhost_user_deadline(DEADLINE_MS)) < 0)
		return -1;
	if (!answered)
		return 0;
	if (vhost_user_receive_until(g->socket, &receiver, vhost_user_deadline(DEADLINE_MS)) != 1)
		return -1;
	if (answer)
		*answer = receiver.message;
	return 0;
}

static int say_u64(struct guest_side *g, uint32_t request, uint64_t value, int fd)
{
	return say(g, request, &value, sizeof(value), fd, false, NULL);
}

static int say_state(struct guest_side *g, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state state = {index, num};

	return say(g, request, &state, sizeof(state), -1, false, NULL);
}

/* Comes back when all that was said before was done. -1: the guest was cut off. */
static int in_step(struct guest_side *g)
{
	return say(g, VHOST_USER_GET_QUEUE_NUM, "", 0, -1, true, NULL);
}

static struct split_ring ring_of(const struct guest_side *g, unsigned int index)
{
	uint8_t *base = g->memory + index * RING;
	struct split_ring ring = {
		.desc = (void *)base,
		.avail = (void *)(base + NUM * sizeof(struct split_ring_desc)),
		.used = (void *)(base + USED),
		.num = NUM,
	};

	return ring;
}

static void connect_socket(struct guest_side *g)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(g->name));

	memcpy(addr.sun_path + 1, g->name, strlen(g->name));
	if (connect(g->socket, (struct sockaddr *)&addr, length) < 0)
		abort();
}

static void share(struct guest_side *g)
{
	struct vhost_user_mem_table table = {
		.count = 1, .regions = {{GUEST_ADDR, MEMORY, USER_ADDR, 0}},
	};

	say(g, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), g->memfd, false,
	    NULL);
}

static void start_queue(struct guest_side *g, uint32_t index)
{
	struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = USER_ADDR + index * RING,
		.avail = USER_ADDR + index * RING + NUM * sizeof(struct split_ring_desc),
		.used = USER_ADDR + index * RING + USED,
	};

	say_state(g, VHOST_USER_SET_VRING_NUM, index, NUM);
	say_state(g, VHOST_USER_SET_VRING_BASE, index, 0);
	say(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1, false, NULL);
	say_u64(g, VHOST_USER_SET_VRING_CALL, index, g->call[index]);
	say_u64(g, VHOST_USER_SET_VRING_KICK, index, g->kick[index]);
	say_state(g, VHOST_USER_SET_VRING_ENABLE, index, 1);
}

static void up(struct guest_side *g)
{
	const uint64_t features = VHOST_USER_BIT(VIRTIO_F_VERSION_1) |
				  VHOST_USER_BIT(VIRTIO_F_INDIRECT_DESC) |
				  VHOST_USER_BIT(VHOST_USER_F_PROTOCOL_FEATURES) | 1;

	g->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	connect_socket(g);
	memset(g->memory, 0, MEMORY);
	say(g, VHOST_USER_SET_OWNER, "", 0, -1, false, NULL);
	say_u64(g, VHOST_USER_SET_FEATURES, features, -1);
	share(g);
	start_queue(g, 0);
	start_queue(g, 1);
	g->up = in_step(g) == 0;
	CHECK(g->up);
}

static void down(struct guest_side *g)
{
	close(g->socket);
	g->up = false;
}

static void side_init(struct guest_side *g, const char *name, size_t size)
{
	g->name = name;
	g->size = size;
	g->memfd = memfd_create("guest", MFD_CLOEXEC);
	if (g->memfd < 0 || ftruncate(g->memfd, (off_t)size) < 0)
		abort();
	g->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, g->memfd, 0);
	for (int i = 0; i < 2; i++) {
		g->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		g->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
}

static void side_free(struct guest_side *g)
{
	if (g->up)
		down(g);
	munmap(g->memory, g->size);
	close(g->memfd);
	for (int i = 0; i < 2; i++) {
		close(g->kick[i]);
		close(g->call[i]);
	}
}

static void kick(struct guest_side *g, unsigned int index)
{
	uint64_t one = 1;

	if (write(g->kick[index], &one, sizeof(one)) < 0)
		return;
}

/* ---- rings that are right -------------------------------------------------------- */

static void put_chain(struct guest_side *g, unsigned int index, uint16_t head, const void *out,
		      uint32_t out_size, uint32_t in_size)
{
	struct split_ring ring = ring_of(g, index);
	uint32_t at = BUFFERS + (index * NUM + head) * 64;
	uint16_t idx = atomic_load(&ring.avail->idx);

	memcpy(g->memory + at, out, out_size);
	ring.desc[head] = (struct split_ring_desc){GUEST_ADDR + at, out_size, VRING_DESC_F_NEXT,
						   (uint16_t)(head + 1)};
	ring.desc[head + 1] = (struct split_ring_desc){GUEST_ADDR + at + 32, in_size,
						       VRING_DESC_F_WRITE, 0};
	ring.avail->ring[idx & (NUM - 1)] = head;
	atomic_store(&ring.avail->idx, (uint16_t)(idx + 1));
}

static void put_request(struct guest_side *g, uint16_t head, uint8_t type, uint16_t gpio,
			uint32_t value)
{
	struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(type),
		.gpio = rpmsg_gpio_store16(gpio),
		.value = rpmsg_gpio_store32(value),
	};

	put_chain(g, 0, head, &request, sizeof(request), type == 1 ? 32 : 2);
}

static struct split_ring_desc *table_of(struct guest_side *g, unsigned int index, unsigned int head)
{
	return (struct split_ring_desc *)(void *)(g->memory + TABLES) +
	       (index * NUM + head) * TABLE_DESCS;
}

/* Move the chain that was just made to its head's table. */
static void make_indirect(struct guest_side *g, unsigned int index, uint16_t head)
{
	struct split_ring ring = ring_of(g, index);
	struct split_ring_desc *table = table_of(g, index, head);
	uint64_t addr = GUEST_ADDR + (uint64_t)((uint8_t *)table - g->memory);

	memcpy(table, &ring.desc[head], 2 * sizeof(*table));
	table[0].next = 1;
	ring.desc[head] = (struct split_ring_desc){addr, 2 * sizeof(*table),
						   VRING_DESC_F_INDIRECT, 0};
}

/* ---- states ------------------------------------------------------------------------- */

struct program {
	const uint8_t *at, *end;
};

static uint8_t next8(struct program *p)
{
	return p->at < p->end ? *p->at++ : 0;
}

static const uint64_t addresses[] = {
	0, 1, GUEST_ADDR, GUEST_ADDR + 1, GUEST_ADDR + MEMORY - 1, GUEST_ADDR + MEMORY,
	GUEST_ADDR - 1, GUEST_ADDR + BUFFERS, GUEST_ADDR + USED, GUEST_ADDR + RING, USER_ADDR,
	UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63, GUEST_ADDR + 256, GUEST_ADDR + 0x1100,
};
static const uint32_t lengths[] = {
	0, 1, 2, 3, 7, 8, 9, 16, 33, 64, 4096, MEMORY, MEMORY + 1, 0x7fffffff, 0x80000000u,
	0xffffffffu,
};

static void change(struct split_ring_desc *desc, struct program *p)
{
	uint8_t what = next8(p), value = next8(p);

	switch (what % 4) {
	case 0:
		desc->addr = addresses[value % 16] + next8(p) % 16;
		break;
	case 1:
		desc->len = lengths[value % 16];
		break;
	case 2:
		desc->flags = value & 0x80 ? (uint16_t)(value * 257u) : value % 8;
		break;
	default:
		desc->next = value & 0x80 ? (uint16_t)(value * 257u) : value % (NUM + 2);
	}
}

static void change_desc(struct split_ring *ring, struct program *p)
{
	change(&ring->desc[next8(p) % NUM], p);
}

static void change_indices(struct split_ring *ring, struct program *p)
{
	uint8_t what = next8(p), value = next8(p);

	switch (what % 6) {
	case 0: /* some more, all sorts of heads */
		atomic_fetch_add(&ring->avail->idx, value % (NUM + 2));
		break;
	case 1: /* a jump */
		atomic_fetch_add(&ring->avail->idx, (uint16_t)(value * 257u));
		break;
	case 2:
		ring->avail->ring[value % NUM] = (uint16_t)(next8(p) % (NUM + 1));
		break;
	case 3:
		ring->avail->ring[value % NUM] = (uint16_t)(value * 257u);
		break;
	case 4: /* the device's own part */
		atomic_store(&ring->used->idx, (uint16_t)(value * 257u));
		break;
	default:
		atomic_store(&ring->avail->flags, value);
		atomic_store(&ring->used->flags, value);
	}
}

/* Messages that are wrong, or right at a bad moment. */
static void say_nonsense(struct guest_side *g, struct program *p)
{
	uint8_t what = next8(p), value = next8(p);
	uint32_t index = value % 3;

	switch (what % 8) {
	case 0:
		say_state(g, VHOST_USER_SET_VRING_ENABLE, index, value >> 6);
		break;
	case 1:
		say_state(g, VHOST_USER_SET_VRING_NUM, index, lengths[value % 16]);
		break;
	case 2:
		say_state(g, VHOST_USER_SET_VRING_BASE, index, value);
		break;
	case 3:
		share(g);
		break;
	case 4:
		start_queue(g, value % 2);
		break;
	case 5: {
		struct vhost_user_vring_addr addr = {
			.index = value % 2,
			.desc = USER_ADDR + addresses[value % 16],
			.avail = USER_ADDR + next8(p) * 16u,
			.used = USER_ADDR + MEMORY - next8(p),
		};

		say(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1, false, NULL);
		break;
	}
	case 6:
		say_state(g, VHOST_USER_RESET_DEVICE + value, index, 0);
		break;
	default:
		if (ftruncate(g->memfd, value & 1 ? 0 : RING) == 0)
			kick(g, value % 2);
		if (in_step(g) < 0)
			g->up = false;
		if (ftruncate(g->memfd, MEMORY) < 0)
			abort();
	}
}

static void run_program(struct guest_side *g, struct program *p)
{
	while (p->at < p->end && g->up) {
		uint8_t op = next8(p), a = next8(p), b = next8(p);
		struct split_ring ring = ring_of(g, a % 2);

		if (op < 60) {
			put_request(g, (uint16_t)(a % (NUM - 1)), b % 8, next8(p) % 10, next8(p) % 10);
		} else if (op < 90) {
			rpmsg_gpio_le16 gpio = rpmsg_gpio_store16(b % (LINES_EXPORTED + 1));

			put_chain(g, 1, (uint16_t)(a % (NUM - 1)), &gpio, sizeof(gpio), 1);
		} else if (op < 130) {
			change_desc(&ring, p);
		} else if (op < 140) {
			put_request(g, (uint16_t)(a % (NUM - 1)), b % 8, next8(p) % 10, next8(p) % 10);
			make_indirect(g, 0, (uint16_t)(a % (NUM - 1)));
		} else if (op < 150) {
			rpmsg_gpio_le16 gpio = rpmsg_gpio_store16(b % (LINES_EXPORTED + 1));

			put_chain(g, 1, (uint16_t)(a % (NUM - 1)), &gpio, sizeof(gpio), 1);
			make_indirect(g, 1, (uint16_t)(a % (NUM - 1)));
		} else if (op < 160) {
			change(table_of(g, a % 2, b % NUM) + b / NUM % TABLE_DESCS, p);
		} else if (op < 220) {
			change_indices(&ring, p);
		} else if (op < 250) {
			kick(g, a % 2);
		} else {
			say_nonsense(g, p);
		}
	}
}

static void run_state(struct guest_side *g, const uint8_t *bytes, size_t size)
{
	struct program p = {bytes, bytes + size};

	memset(state_in_hand, 0, STATE_MAX);
	memcpy(state_in_hand, bytes, size);
	if (!g->up)
		up(g);
	run_program(g, &p);
	if (g->up) {
		kick(g, 0);
		kick(g, 1);
	}
	if (!g->up || in_step(g) < 0) {
		down(g);
		cut_off++;
	}
}

/* ---- the guest beside it --------------------------------------------------------------- */

static uint16_t asked;

static bool answered(struct guest_side *g)
{
	struct split_ring ring = ring_of(g, 0);
	struct pollfd call = {.fd = g->call[0], .events = POLLIN};
	uint64_t count;

	while (atomic_load(&ring.used->idx) != asked) {
		if (poll(&call, 1, DEADLINE_MS) != 1)
			return false;
		if (read(g->call[0], &count, sizeof(count)) < 0)
			return false;
	}
	return true;
}

static void other_guest_goes_on(struct guest_side *g)
{
	put_request(g, 0, VIRTIO_GPIO_MSG_GET_DIRECTION, 0, 0);
	asked++;
	kick(g, 0);
	CHECK(answered(g));
	CHECK_EQ(g->memory[BUFFERS + 32], VIRTIO_GPIO_STATUS_OK);
}

/* ---- runs ----------------------------------------------------------------------------------- */

static struct guest_side hostile, honest;
static char names[2][40];

static struct gb_export *open_export(const char *name, uint16_t first)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
	struct gb_export_config config = {
		.state_fd = -1, .kept_fd = -1, .lines = LINES_EXPORTED,
		.names = "A\0B\0C\0D\0E\0F\0G\0H",
		.names_size = 16, .timeout_ms = DEADLINE_MS,
	};
	struct gb_export *e;

	memcpy(addr.sun_path + 1, name, strlen(name));
	config.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(config.listen_fd, (struct sockaddr *)&addr, length) < 0 ||
	    listen(config.listen_fd, 4) < 0)
		abort();
	e = gb_export_open(session.pump, 7, &config);
	for (uint16_t line = 0; line < LINES_EXPORTED; line++)
		CHECK_EQ(gb_export_attach(e, line, session.controller, first + line), 0);
	gb_export_listen(e);
	return e;
}

static void set_up(void)
{
	open_session(&session, 0);
	for (int i = 0; i < 2; i++) {
		snprintf(names[i], sizeof(names[i]), "hostile-guest-%d-%d", getpid(), i);
		exports[i] = open_export(names[i], (uint16_t)(i * LINES_EXPORTED));
	}
	side_init(&hostile, names[0], MEMORY);
	side_init(&honest, names[1], MEMORY);
	asked = 0;
	up(&honest);
}

static void tear_down(void)
{
	struct gb_export_status status;

	other_guest_goes_on(&honest);
	gb_export_status(exports[1], &status);
	CHECK(status.connected);
	CHECK_EQ(status.guests, 1);
	gb_export_close(exports[0]);
	gb_export_close(exports[1]);
	side_free(&hostile);
	side_free(&honest);
	close_session(&session);
}

static void run_file(const char *path)
{
	uint8_t bytes[STATE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, bytes, sizeof(bytes));

	CHECK(size > 0);
	close(fd);
	if (size > 0)
		run_state(&hostile, bytes, (size_t)size);
	other_guest_goes_on(&honest);
}

static void corpus(void)
{
	DIR *folder = opendir(CORPUS);
	struct dirent *entry;
	unsigned int count = 0;
	char path[400];

	CHECK(folder != NULL);
	set_up();
	while (folder && (entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", CORPUS, entry->d_name);
		run_file(path);
		count++;
	}
	if (folder)
		closedir(folder);
	CHECK(count >= 10);
	tear_down();
}

static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static unsigned long states = 20000;

static void generated(void)
{
	uint8_t bytes[STATE_MAX];

	set_up();
	cut_off = 0;
	for (unsigned long i = 0; i < states && !check_bad; i++) {
		size_t size = 4 + (size_t)(next_random() % (STATE_MAX - 4));

		for (size_t at = 0; at < size; at += 8) {
			uint64_t word = next_random();

			memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
		}
		run_state(&hostile, bytes, size);
		if (i % 1024 == 0)
			other_guest_goes_on(&honest);
	}
	printf("%lu states, the guest was cut off %lu times\n", states, cut_off);
	CHECK(cut_off > states / 100); /* it was hostile */
	CHECK(cut_off < states);       /* and not only at the door */
	tear_down();
}

/* ---- a guest that never stops asking ---------------------------------------------------- */

#define FLOOD_MEMORY (2u << 20)
#define FLOOD_DESC   0x20000u /* behind what the other queue has */
#define FLOOD_AVAIL  0x100000u
#define FLOOD_USED   0x120000u
#define FLOOD_BUFFER 0x180000u

static atomic_bool flooding;

/* The largest ring there is: to empty it once takes longer than to fill it again. */
static struct split_ring flood_ring(const struct guest_side *g)
{
	struct split_ring ring = {
		.desc = (void *)(g->memory + FLOOD_DESC),
		.avail = (void *)(g->memory + FLOOD_AVAIL),
		.used = (void *)(g->memory + FLOOD_USED),
		.num = SPLIT_RING_NUM_MAX,
	};

	return ring;
}

/* The one request of all entries, for a line that is not there: answered at once. Its
 * chain is as long as may be, with descriptors of no bytes. */
static void put_flood(struct guest_side *g)
{
	const uint32_t descs = SPLIT_CHAIN_DESCS_MAX;
	struct split_ring ring = flood_ring(g);
	struct virtio_gpio_request request = {
		.type = rpmsg_gpio_store16(VIRTIO_GPIO_MSG_GET_VALUE),
		.gpio = rpmsg_gpio_store16(LINES_EXPORTED),
	};

	memcpy(g->memory + FLOOD_BUFFER, &request, sizeof(request));
	for (uint32_t i = 0; i < descs; i++)
		ring.desc[i] = (struct split_ring_desc){GUEST_ADDR, 0, VRING_DESC_F_NEXT,
							(uint16_t)(i + 1)};
	ring.desc[0].addr = GUEST_ADDR + FLOOD_BUFFER;
	ring.desc[0].len = sizeof(request);
	ring.desc[descs - 1] = (struct split_ring_desc){GUEST_ADDR + FLOOD_BUFFER + 32, 2,
							VRING_DESC_F_WRITE, 0};
	atomic_store(&ring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
}

static void start_flood_queue(struct guest_side *g)
{
	struct vhost_user_mem_table table = {
		.count = 1, .regions = {{GUEST_ADDR, FLOOD_MEMORY, USER_ADDR, 0}},
	};
	struct vhost_user_vring_addr addr = {
		.desc = USER_ADDR + FLOOD_DESC,
		.avail = USER_ADDR + FLOOD_AVAIL,
		.used = USER_ADDR + FLOOD_USED,
	};

	say(g, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), g->memfd, false,
	    NULL);
	say_state(g, VHOST_USER_SET_VRING_NUM, 0, SPLIT_RING_NUM_MAX);
	say(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1, false, NULL);
	CHECK_EQ(in_step(g), 0);
}

static void grow(struct guest_side *g)
{
	side_free(g);
	side_init(g, g->name, FLOOD_MEMORY);
	up(g);
	start_flood_queue(g);
}

/* Whenever a request is answered, there is another. */
static void *flood(void *argument)
{
	struct guest_side *g = argument;
	struct split_ring ring = flood_ring(g);

	while (flooding) {
		atomic_store(&ring.avail->idx,
			     (uint16_t)(atomic_load(&ring.used->idx) + SPLIT_RING_NUM_MAX));
		if (!atomic_load(&ring.used->flags))
			kick(g, 0);
	}
	return NULL;
}

static void others_go_on_beside_a_flood(void)
{
	struct gb_export_status status;
	pthread_t thread;

	set_up();
	grow(&hostile);
	put_flood(&hostile);
	flooding = true;
	pthread_create(&thread, NULL, flood, &hostile);
	do {
		other_guest_goes_on(&honest);
		gb_export_status(exports[0], &status);
	} while (!check_bad && status.connected && status.requests < 16 * SPLIT_RING_NUM_MAX);
	flooding = false;
	pthread_join(thread, NULL);
	CHECK(status.connected);
	tear_down();
}

/* ---- a guest that wants us to hang ------------------------------------------------------- */

/* What hangs is killed then: no test takes so long. */
#define HANG_S 60u

static void fill(int fd)
{
	uint64_t most = UINT64_MAX - 1;

	CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (write(fd, &most, sizeof(most)) > 0)
		continue;
	CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
}

static void ask_without_reading(struct guest_side *g)
{
	for (uint16_t i = 0; i < 2; i++)
		put_request(g, (uint16_t)(2 * i), VIRTIO_GPIO_MSG_GET_DIRECTION, 0, 0);
	kick(g, 0);
	CHECK_EQ(in_step(g), 0);
}

/* The file description is ours, too: O_NONBLOCK is what the guest makes of it. */
static void others_go_on_beside_a_call_that_is_full(void)
{
	set_up();
	up(&hostile);
	alarm(HANG_S);
	fill(hostile.call[0]);
	ask_without_reading(&hostile);
	other_guest_goes_on(&honest);
	alarm(0);
	tear_down();
}

static void others_go_on_beside_a_pipe_that_is_full(void)
{
	int ends[2];

	set_up();
	up(&hostile);
	alarm(HANG_S);
	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	fill(ends[1]);
	say_u64(&hostile, VHOST_USER_SET_VRING_CALL, 0, ends[1]);
	ask_without_reading(&hostile);
	other_guest_goes_on(&honest);
	alarm(0);
	close(ends[0]);
	close(ends[1]);
	tear_down();
}

/* A call to any of these could wait for the guest. */
static void other_files_are_refused(void)
{
	static const uint32_t messages[] = {VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_KICK,
					    VHOST_USER_SET_BACKEND_REQ_FD};
	struct gb_export_status status;

	set_up();
	for (unsigned int i = 0; i < 3; i++) {
		int file = open("/dev/null", O_RDWR | O_CLOEXEC);
		uint32_t size = messages[i] == VHOST_USER_SET_BACKEND_REQ_FD ? 0 : 8;

		up(&hostile);
		say(&hostile, messages[i], "\0\0\0\0\0\0\0", size, file, false, NULL);
		CHECK(in_step(&hostile) < 0);
		gb_export_status(exports[0], &status);
		CHECK(strstr(status.why, "descriptor"));
		down(&hostile);
		close(file);
	}
	tear_down();
}

/* ---- a guest that vanishes ---------------------------------------------------------------- */

/* More requests than are relayed at once. */
#define MANY 100u

static void put_many(struct guest_side *g)
{
	struct split_ring ring = flood_ring(g);

	for (uint16_t i = 0; i < MANY; i++) {
		struct virtio_gpio_request request = {
			.type = rpmsg_gpio_store16(VIRTIO_GPIO_MSG_GET_VALUE),
		};
		uint32_t at = FLOOD_BUFFER + i * 64u;

		memcpy(g->memory + at, &request, sizeof(request));
		ring.desc[2 * i] = (struct split_ring_desc){
			GUEST_ADDR + at, sizeof(request), VRING_DESC_F_NEXT, (uint16_t)(2 * i + 1)};
		ring.desc[2 * i + 1] = (struct split_ring_desc){GUEST_ADDR + at + 32, 2,
								VRING_DESC_F_WRITE, 0};
		ring.avail->ring[i] = (uint16_t)(2 * i);
	}
	atomic_store(&ring.avail->idx, MANY);
}

static bool guest_comes_to_be(struct gb_export *e, bool connected)
{
	struct gb_export_status status = {.connected = !connected};

	for (int i = 0; i < DEADLINE_MS && status.connected != connected; i++) {
		poll(NULL, 0, 1);
		gb_export_status(e, &status);
	}
	return status.connected == connected;
}

/* Its requests come back when it is gone, and its export then goes at once. */
static void an_export_ends_behind_its_guest(void)
{
	set_up();
	grow(&hostile);
	gb_lock(session.pump);
	session.core->hold = true;
	gb_unlock(session.pump);
	put_many(&hostile);
	kick(&hostile, 0);
	CHECK_EQ(in_step(&hostile), 0);
	down(&hostile);
	CHECK(guest_comes_to_be(exports[0], false));
	gb_lock(session.pump);
	CHECK(session.core->queued > 0); /* its requests were under way */
	session.core->hold = false;
	core_ready(&session.core->link, 0, EPOLLIN);
	gb_export_free(exports[0]);
	gb_unlock(session.pump);
	other_guest_goes_on(&honest);
	exports[0] = open_export(names[0], 0);
	tear_down();
}

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* A guest waits at the door, and there is no descriptor for it. */
static void without_descriptors_the_loop_rests(void)
{
	const uint64_t pause_ns = 300000000;
	struct rlimit limit, none;
	uint64_t before;

	set_up();
	getrlimit(RLIMIT_NOFILE, &limit);
	none = limit;
	none.rlim_cur = 1; /* poll(2) wants that much */
	hostile.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setrlimit(RLIMIT_NOFILE, &none);
	connect_socket(&hostile);
	before = cpu_ns();
	poll(NULL, 0, (int)(pause_ns / 1000000));
	CHECK(cpu_ns() - before < pause_ns / 3);
	CHECK(guest_comes_to_be(exports[0], false));
	other_guest_goes_on(&honest);
	setrlimit(RLIMIT_NOFILE, &limit);
	CHECK(guest_comes_to_be(exports[0], true));
	down(&hostile);
	tear_down();
}

static void no_descriptor_leaks(void)
{
	int before;

	states = states < 2000 ? states : 2000;
	generated(); /* what libraries keep is open now */
	before = open_descriptors();
	generated();
	CHECK_EQ(open_descriptors(), before);
}

static const char *one_file;

static void one_state(void)
{
	set_up();
	run_file(one_file);
	tear_down();
}

int main(int argc, char **argv)
{
	int fd = open("build/hostile-guest.state", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	signal(SIGPIPE, SIG_IGN);
	if (fd < 0 || ftruncate(fd, STATE_MAX) < 0)
		return 1;
	state_in_hand = mmap(NULL, STATE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	random_state = argc > 2 ? strtoull(argv[2], NULL, 0) : 0x9e3779b97f4a7c15;
	if (argc > 1 && strspn(argv[1], "0123456789") != strlen(argv[1])) {
		one_file = argv[1];
		RUN(one_state);
		return check_report();
	}
	if (argc > 1)
		states = strtoul(argv[1], NULL, 0);
	RUN(corpus);
	RUN(others_go_on_beside_a_flood);
	RUN(others_go_on_beside_a_call_that_is_full);
	RUN(others_go_on_beside_a_pipe_that_is_full);
	RUN(other_files_are_refused);
	RUN(an_export_ends_behind_its_guest);
	RUN(generated);
	RUN(without_descriptors_the_loop_rests);
	RUN(no_descriptor_leaks);
	if (!check_failed)
		unlink("build/hostile-guest.state");
	return check_report();
}
