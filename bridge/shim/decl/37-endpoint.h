/* pump/endpoint.h */
struct gb_endpoint;

struct gb_message {
	uint64_t arrival_ns;
	uint16_t length;
	uint8_t bytes[...];
	...;
};

struct gb_endpoint *gb_endpoint_open(struct gb_link *link, uint32_t source, uint32_t address);
void gb_endpoint_close(struct gb_endpoint *endpoint);
int gb_endpoint_fd(const struct gb_endpoint *endpoint);
int gb_endpoint_send(struct gb_endpoint *endpoint, const void *message, uint16_t length);
int gb_endpoint_receive(struct gb_endpoint *endpoint, struct gb_message *message);
uint64_t gb_endpoint_lost(struct gb_endpoint *endpoint);
