/* SPDX-License-Identifier: BSD-3-Clause */
/* usb/adapter.h */
struct gb_adapter;

#define GB_ADAPTER_LINES_MAX ...

struct gb_adapter_status {
	bool plugged;
	uint64_t sessions;
	uint64_t requests;
	uint64_t events;
	uint64_t lost;
	uint64_t late;
	uint64_t faults;
	char why[...];
};

struct gb_adapter_config {
	uint32_t lines;
	uint32_t kept;
	const char *product;
	const char *serial;
	uint32_t timeout_ms;
};

struct gb_adapter *gb_adapter_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_adapter_config *config);
int gb_adapter_plug(struct gb_adapter *adapter, int socket, int helper);
void gb_adapter_unplug(struct gb_adapter *adapter);
int gb_adapter_attach(struct gb_adapter *adapter, uint32_t index,
		      struct gb_controller *controller, uint16_t gpio);
void gb_adapter_detach(struct gb_adapter *adapter, uint32_t index);
void gb_adapter_status(struct gb_adapter *adapter, struct gb_adapter_status *status);
int64_t gb_adapter_changed(struct gb_adapter *adapter, uint32_t index);
int gb_adapter_direction(struct gb_adapter *adapter, uint32_t index);
void gb_adapter_close(struct gb_adapter *adapter);
