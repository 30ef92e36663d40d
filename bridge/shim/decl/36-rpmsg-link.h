/* pump/rpmsg_link.h */
enum gb_rpmsg_code {
	GB_RPMSG_ATTACH,
	GB_RPMSG_DETACH,
	GB_RPMSG_DOWN,
	GB_RPMSG_GONE,
	...
};

#define GB_RPMSG_DESTROY ...
#define GB_RPMSG_TEXT_SIZE ...

struct gb_rpmsg_packet {
	uint32_t code;
	uint32_t address;
	uint32_t flags;
	int32_t error;
	char text[...];
	...;
};

struct gb_link *gb_rpmsg_open(int control);

/* pump/gpiochip_link.h */
struct gb_link *gb_gpiochip_open(int chip, const char *path);
