// SPDX-License-Identifier: GPL-2.0-or-later
//
// PID 1 of the VM tests and of the boot benchmark. The word test=WORD on the kernel's command
// line says what it does: off, panic, spin, idle, echo, deaf or flood.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) reboot(RB_POWER_OFF);
}

static void off(void) {
  reboot(RB_POWER_OFF);
}

// The node of the virtio-serial port that is called mmquake.records.
static int open_virtio(void) {
  DIR* ports = opendir("/sys/class/virtio-ports");
  const struct dirent* entry = NULL;
  while (ports != NULL && (entry = readdir(ports)) != NULL) {
    char path[600];
    char name[64] = "";
    snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
    FILE* file = fopen(path, "r");
    if (file == NULL) continue;
    if (fgets(name, sizeof(name), file) == NULL) name[0] = '\0';
    fclose(file);
    if (strncmp(name, "mmquake.records", 15) != 0) continue;
    snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
    return open(path, O_RDWR | O_NONBLOCK);
  }
  return -1;
}

static int open_serial(void) {
  const int fd = open("/dev/ttyS1", O_RDWR | O_NONBLOCK | O_NOCTTY);
  struct termios mode;
  if (fd < 0 || tcgetattr(fd, &mode) != 0) return -1;
  cfmakeraw(&mode);
  tcsetattr(fd, TCSANOW, &mode);
  return fd;
}

static void put(int fd, const char* bytes, size_t count) {
  while (count > 0) {
    const ssize_t sent = write(fd, bytes, count);
    if (sent > 0) {
      bytes += sent;
      count -= (size_t)sent;
    } else {
      struct pollfd ready = {fd, POLLOUT, 0};
      poll(&ready, 1, 1000);
    }
  }
}

// Sends a greeting on each channel that is there, then each byte back. 'q' on any ends the VM.
static void echo(void) {
  struct pollfd fds[2] = {{open_virtio(), POLLIN, 0}, {open_serial(), POLLIN, 0}};
  if (fds[0].fd < 0) say("test guest: no virtio\n");
  if (fds[1].fd < 0) say("test guest: no serial\n");
  if (fds[0].fd >= 0) put(fds[0].fd, "hello virtio\n", 13);
  if (fds[1].fd >= 0) put(fds[1].fd, "hello serial\n", 13);
  for (;;) {
    poll(fds, 2, -1);
    for (int i = 0; i < 2; ++i) {
      char bytes[4096];
      const ssize_t got = read(fds[i].fd, bytes, sizeof(bytes));
      if (got <= 0) continue;
      put(fds[i].fd, bytes, (size_t)got);
      if (memchr(bytes, 'q', (size_t)got) != NULL) {
        if (fds[1].fd >= 0) tcdrain(fds[1].fd);
        off();
      }
    }
  }
}

// Opens both channels and reads neither.
static void deaf(void) {
  if (open_virtio() < 0 || open_serial() < 0) off();
  say("test guest: deaf\n");
  for (;;) pause();
}

static void flood(void) {
  char line[121];
  memset(line, 'x', sizeof(line));
  line[119] = '\n';
  line[120] = '\0';
  for (;;) say(line);
}

int main(void) {
  say("mmquake: init\n");
  mount("dev", "/dev", "devtmpfs", 0, NULL);
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  char line[2048] = "";
  FILE* file = fopen("/proc/cmdline", "r");
  if (file != NULL && fgets(line, sizeof(line), file) == NULL) line[0] = '\0';
  if (strstr(line, "test=panic") != NULL) {
    FILE* trigger = fopen("/proc/sysrq-trigger", "w");
    if (trigger != NULL) fputc('c', trigger);
    if (trigger != NULL) fclose(trigger);
  } else if (strstr(line, "test=spin") != NULL) {
    for (;;) {
    }
  } else if (strstr(line, "test=idle") != NULL) {
    for (;;) pause();
  } else if (strstr(line, "test=echo") != NULL) {
    echo();
  } else if (strstr(line, "test=deaf") != NULL) {
    deaf();
  } else if (strstr(line, "test=flood") != NULL) {
    flood();
  }
  off();
  return 0;
}
