/* A server by libmodbus: unit 1, 1,000 holding registers that hold their addresses, as many
 * input registers 1,000 higher, 100 coils and inputs of which every third is set.
 *
 *     server tcp          prints "port N", then serves one client after the other
 *     server rtu DEVICE   115,200 bit/s, 8N1; prints "ready"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UNIT = 1, BAUD = 115200, REGISTERS = 1000, BITS = 100 };

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
	return 1;
}

/* serve answers until the client leaves. */
static void serve(modbus_t *m, modbus_mapping_t *map)
{
	uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
	for (;;) {
		int n = modbus_receive(m, request);
		if (n < 0 && (errno == ECONNRESET || errno == EBADF || errno == EIO))
			return;
		if (n > 0)
			modbus_reply(m, request, n, map);
	}
}

int main(int argc, char **argv)
{
	modbus_mapping_t *map = modbus_mapping_new(BITS, BITS, REGISTERS, REGISTERS);
	for (int i = 0; i < REGISTERS; i++) {
		map->tab_registers[i] = i;
		map->tab_input_registers[i] = 1000 + i;
	}
	for (int i = 0; i < BITS; i++)
		map->tab_bits[i] = map->tab_input_bits[i] = i % 3 == 0;

	if (argc == 3 && !strcmp(argv[1], "rtu")) {
		modbus_t *m = modbus_new_rtu(argv[2], BAUD, 'N', 8, 1);
		if (!m || modbus_set_slave(m, UNIT) || modbus_connect(m))
			return fail(argv[2]);
		puts("ready");
		fflush(stdout);
		serve(m, map);
		return 0;
	}
	if (argc != 2 || strcmp(argv[1], "tcp")) {
		fprintf(stderr, "usage: server tcp | server rtu DEVICE\n");
		return 2;
	}
	modbus_t *m = modbus_new_tcp("127.0.0.1", 0);
	int s = modbus_tcp_listen(m, 5);
	struct sockaddr_in at;
	socklen_t size = sizeof at;
	if (s < 0 || getsockname(s, (struct sockaddr *)&at, &size))
		return fail("listen");
	printf("port %d\n", ntohs(at.sin_port));
	fflush(stdout);
	while (modbus_tcp_accept(m, &s) >= 0) {
		serve(m, map);
		modbus_close(m);
	}
	return fail("accept");
}
