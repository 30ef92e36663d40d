/* SPDX-License-Identifier: BSD-3-Clause */
/* export/export.h */
struct gb_export;

#define GB_EXPORT_LINES_MAX ...

struct gb_export_state_header {
	uint8_t magic[8];
	uint8_t identity[32];
	uint32_t session;
	uint32_t crashes;
};

#define GB_EXPORT_SESSION_CHANGING ...
#define GB_EXPORT_SESSION_WHOLE ...

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
	int keep_error;
	char why[...];
};

struct gb_export_config {
	int listen_fd;
	int state_fd;
	int kept_fd;
	int kept_pair[2];
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
int gb_export_take_over(struct gb_export *exported, int connection);
int gb_export_connection(struct gb_export *exported);
void gb_export_pause(struct gb_export *exported);
void gb_export_close(struct gb_export *exported);
int gb_export_hand_over(struct gb_export *exported);

/* virtio/vhost_user_session.h */
int vhost_user_listen(const char *path, int mode, char *why, size_t why_size);
