/* A peer over libmodbus, for tests and benchmarks.
 *
 *   peer serve tcp            serves unit 1 on a free port of this machine, which it prints
 *   peer serve rtu DEVICE     serves unit 1 on a serial line of 115200 bit/s, 8N1
 *   peer check tcp PORT       asks a server for everything that the tests need
 *   peer check rtu DEVICE
 *   peer bench tcp PORT N     reads 60 holding registers N times, and prints the rate
 *
 * Served holding registers hold their addresses. What is asked must hold them, too. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS = 1000, BITS = 100, MANY = 60 };

static int fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
  return 1;
}

static modbus_t *open_link(const char *kind, const char *where) {
  modbus_t *m = strcmp(kind, "rtu") ? modbus_new_tcp("127.0.0.1", atoi(where)) : modbus_new_rtu(where, 115200, 'N', 8, 1);
  if (m != NULL && modbus_set_slave(m, 1) == -1) {
    return NULL;
  }
  return m;
}

static modbus_mapping_t *map(void) {
  modbus_mapping_t *p = modbus_mapping_new(BITS, BITS, REGISTERS, REGISTERS);
  for (int i = 0; p != NULL && i < REGISTERS; i++) {
    p->tab_registers[i] = i;
    p->tab_input_registers[i] = 1000 + i;
  }
  return p;
}

/* Answers every client of a port in one loop. */
static int serve_tcp(modbus_t *m, modbus_mapping_t *p) {
  int listener = modbus_tcp_listen(m, 64);
  if (listener == -1) {
    return fail("listen");
  }
  struct sockaddr_in at;
  socklen_t size = sizeof at;
  if (getsockname(listener, (struct sockaddr *)&at, &size) == -1) {
    return fail("port");
  }
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  fd_set all;
  FD_ZERO(&all);
  FD_SET(listener, &all);
  int last = listener;
  for (;;) {
    fd_set ready = all;
    if (select(last + 1, &ready, NULL, NULL, NULL) == -1) {
      return fail("select");
    }
    for (int fd = 0; fd <= last; fd++) {
      if (!FD_ISSET(fd, &ready)) {
        continue;
      }
      if (fd == listener) {
        int c = listener;
        c = modbus_tcp_accept(m, &c);
        if (c != -1) {
          FD_SET(c, &all);
          last = c > last ? c : last;
        }
        continue;
      }
      uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
      modbus_set_socket(m, fd);
      int n = modbus_receive(m, query);
      if (n > 0) {
        modbus_reply(m, query, n, p);
      } else if (n == -1) {
        close(fd);
        FD_CLR(fd, &all);
      }
    }
  }
}

static int serve_rtu(modbus_t *m, modbus_mapping_t *p) {
  if (modbus_connect(m) == -1) {
    return fail("open");
  }
  puts("0");
  fflush(stdout);
  for (;;) {
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    int n = modbus_receive(m, query);
    if (n > 0) {
      modbus_reply(m, query, n, p);
    } else if (n == -1 && errno == EBADF) {
      return fail("receive");
    }
  }
}

static int check(modbus_t *m) {
  uint16_t r[MODBUS_MAX_READ_REGISTERS + 1];
  uint8_t bits[BITS];
  if (modbus_read_registers(m, 40, MANY, r) != MANY) {
    return fail("read 60 registers");
  }
  for (int i = 0; i < MANY; i++) {
    if (r[i] != 40 + i) {
      fprintf(stderr, "register %d holds %d\n", 40 + i, r[i]);
      return 1;
    }
  }
  if (modbus_read_input_registers(m, 7, 1, r) != 1 || r[0] != 1007) {
    return fail("read input register");
  }
  uint16_t values[] = {1234, 0xFFFF, 0};
  if (modbus_write_registers(m, 200, 3, values) != 3 || modbus_read_registers(m, 200, 3, r) != 3 || memcmp(r, values, sizeof values)) {
    return fail("write registers and read them");
  }
  if (modbus_write_register(m, 203, 77) != 1 || modbus_read_registers(m, 203, 1, r) != 1 || r[0] != 77) {
    return fail("write one register and read it");
  }
  uint8_t on[] = {1, 0, 1, 1, 0, 0, 1, 1, 1, 0};
  if (modbus_write_bits(m, 3, 10, on) != 10 || modbus_write_bit(m, 12, 1) != 1 || modbus_read_bits(m, 3, 10, bits) != 10) {
    return fail("write coils");
  }
  on[9] = 1;
  if (memcmp(bits, on, sizeof on)) {
    return fail("coils");
  }
  if (modbus_read_input_bits(m, 0, 8, bits) != 8) {
    return fail("read discrete inputs");
  }
  if (modbus_read_registers(m, 60000, 1, r) != -1 || errno != EMBXILADD) {
    return fail("an address that is not there: want exception 2");
  }
  puts("ok");
  return 0;
}

static int bench(modbus_t *m, int n) {
  uint16_t r[MANY];
  struct timespec a, z;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < n; i++) {
    if (modbus_read_registers(m, 40, MANY, r) != MANY || r[MANY - 1] != 40 + MANY - 1) {
      return fail("read");
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &z);
  printf("%.0f\n", n / ((z.tv_sec - a.tv_sec) + (z.tv_nsec - a.tv_nsec) / 1e9));
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fputs("see the head of peer.c\n", stderr);
    return 2;
  }
  int serves = !strcmp(argv[1], "serve");
  modbus_t *m = open_link(argv[2], argc > 3 ? argv[3] : "0");
  if (m == NULL) {
    return fail("link");
  }
  if (serves) {
    modbus_mapping_t *p = map();
    if (p == NULL) {
      return fail("registers");
    }
    return strcmp(argv[2], "rtu") ? serve_tcp(m, p) : serve_rtu(m, p);
  }
  if (modbus_connect(m) == -1) {
    return fail("connect");
  }
  return strcmp(argv[1], "bench") ? check(m) : bench(m, argc > 4 ? atoi(argv[4]) : 1000);
}
