/* pump/serial_link.h */
struct gb_serial_options {
	uint32_t bit_rate;
	uint16_t ack_ms;
	uint16_t retry_ms;
	uint32_t keepalive_ms;
	uint32_t dead_ms;
	...;
};

struct gb_serial_counters {
	uint64_t sent, repeated, received, damaged, repeats;
	uint64_t bytes_sent, bytes_received;
	...;
};

struct gb_link *gb_serial_attach(int fd, const char *name, const struct gb_serial_options *options,
				 int timeout_ms, char *why, size_t why_size);
void gb_serial_count(const struct gb_link *link, struct gb_serial_counters *counters);
