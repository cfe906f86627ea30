/* A client by libmodbus, of unit 1.
 *
 *     client tcp PORT check     reads and writes, and prints what came of each
 *     client rtu DEVICE check   115,200 bit/s, 8N1
 *     client tcp PORT N         reads 60 registers N times and prints how many a second
 */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { UNIT = 1, BAUD = 115200, FROM = 40, COUNT = 60 };

static void registers(const char *what, int n, const uint16_t *r)
{
	printf("%s", what);
	if (n < 0)
		printf(" %s", modbus_strerror(errno));
	for (int i = 0; i < n; i++)
		printf(" %d", r[i]);
	puts("");
}

static void written(const char *what, int n)
{
	printf("%s %s\n", what, n < 0 ? modbus_strerror(errno) : "ok");
}

static void check(modbus_t *m)
{
	uint16_t r[MODBUS_MAX_READ_REGISTERS];
	uint8_t bits[8];
	registers("holding", modbus_read_registers(m, FROM, COUNT, r), r);
	registers("input", modbus_read_input_registers(m, 7, 2, r), r);
	written("write one", modbus_write_register(m, 5, 1234));
	written("write several", modbus_write_registers(m, 10, 3, (uint16_t[]){ 65535, 0, 77 }));
	registers("one", modbus_read_registers(m, 5, 1, r), r);
	registers("several", modbus_read_registers(m, 9, 5, r), r);
	written("write coil", modbus_write_bit(m, 3, 1));
	written("write coils", modbus_write_bits(m, 4, 3, (uint8_t[]){ 0, 1, 1 }));
	int n = modbus_read_bits(m, 2, 6, bits);
	for (int i = 0; i < n; i++)
		r[i] = bits[i];
	registers("coils", n, r);
	registers("outside", modbus_read_registers(m, 65000, 1, r), r);
	written("write outside", modbus_write_register(m, 65000, 1));
	registers("afterwards", modbus_read_registers(m, FROM, 2, r), r);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: client tcp PORT|rtu DEVICE check|N\n");
		return 2;
	}
	modbus_t *m = strcmp(argv[1], "tcp") ? modbus_new_rtu(argv[2], BAUD, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", atoi(argv[2]));
	if (!m || modbus_set_slave(m, UNIT) || modbus_connect(m)) {
		fprintf(stderr, "%s: %s\n", argv[2], modbus_strerror(errno));
		return 1;
	}
	if (!strcmp(argv[3], "check")) {
		check(m);
	} else {
		int n = atoi(argv[3]);
		uint16_t r[COUNT];
		double began = seconds();
		for (int i = 0; i < n; i++)
			if (modbus_read_registers(m, FROM, COUNT, r) != COUNT) {
				fprintf(stderr, "read: %s\n", modbus_strerror(errno));
				return 1;
			}
		printf("%.0f\n", n / (seconds() - began));
	}
	modbus_close(m);
	modbus_free(m);
	return 0;
}
