/* SPDX-License-Identifier: BSD-3-Clause */
/* export/export.h */
struct gb_export;

#define GB_EXPORT_LINES_MAX ...
#define GB_EXPORT_STATE_HEADER ...

struct gb_export_line {
	uint8_t direction;
	uint8_t value;
	uint8_t irq_type;
	uint8_t flags;
};

struct gb_export_status {
	bool connected;
	bool no_irq;
	uint64_t guests;
	uint64_t requests;
	uint64_t events;
	uint64_t faults;
	bool state_lost;
	bool at_rest;
	char why[...];
};

struct gb_export_config {
	int listen_fd;
	int state_fd;
	uint32_t lines;
	const char *names;
	uint32_t names_size;
	uint32_t timeout_ms;
};

struct gb_export *gb_export_open(struct gb_pump *pump, uint64_t id,
				 const struct gb_export_config *config);
int gb_export_attach(struct gb_export *exported, uint32_t index,
		     struct gb_controller *controller, uint16_t gpio);
void gb_export_detach(struct gb_export *exported, uint32_t index);
void gb_export_status(struct gb_export *exported, struct gb_export_status *status);
int64_t gb_export_changed(struct gb_export *exported, uint32_t index);
int gb_export_line(struct gb_export *exported, uint32_t index, struct gb_export_line *state);
void gb_export_listen(struct gb_export *exported);
int gb_export_take_over(struct gb_export *exported, int connection, int source);
void gb_export_pause(struct gb_export *exported);
void gb_export_close(struct gb_export *exported);
int gb_export_hand_over(struct gb_export *exported, int to);

/* virtio/vhost_user_session.h */
int vhost_user_listen(const char *path, int mode, char *why, size_t why_size);
