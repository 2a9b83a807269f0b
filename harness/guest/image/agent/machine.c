/* What the guest knows of the machine that it runs on. */
#include "agent.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

#define LARGEST_EXTENDED_LEAF 0x80000000
#define ENCRYPTION_LEAF 0x8000001f
#define MSR_SEV_STATUS 0xc0010131
#define KERNEL_LOG_READ_ALL 3
#define MAX_INPUT_DEVICES 16

void report_ready(int module_count, char **modules)
{
	struct utsname names;
	struct sysinfo info;
	struct timespec up;

	uname(&names);
	sysinfo(&info);
	clock_gettime(CLOCK_BOOTTIME, &up);
	line_add("{\"event\":\"ready\",\"kernel\":");
	line_text(names.release);
	line_add(",\"memoryKiB\":%llu", (unsigned long long)info.totalram * info.mem_unit / 1024);
	line_add(",\"efi\":%s", access("/sys/firmware/efi", F_OK) == 0 ? "true" : "false");
	line_add(",\"uptimeMs\":%lld", up.tv_sec * 1000LL + up.tv_nsec / 1000000);
	line_add(",\"modules\":[");
	for (int i = 0; i < module_count; i++) {
		line_add(i ? "," : "");
		line_text(modules[i]);
	}
	line_add("]}");
	line_end();
}

/* Linux gives the register to who asks with the msr module loaded, and answers EIO where reading it faults. */
static const char *read_sev_status(uint64_t *value)
{
	static char because[128];
	int fd = open("/dev/cpu/0/msr", O_RDONLY);
	ssize_t count = -1;

	if (fd >= 0)
		count = pread(fd, value, sizeof *value, MSR_SEV_STATUS);
	if (count == sizeof *value) {
		close(fd);
		return NULL;
	}
	snprintf(because, sizeof because, "MSR 0xc0010131 cannot be read: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
	return because;
}

void report_cpu(void)
{
	unsigned eax, ebx, ecx, edx;
	char vendor[13] = "";
	uint64_t status = 0;
	const char *because;

	__cpuid(0, eax, ebx, ecx, edx);
	memcpy(vendor, &ebx, 4);
	memcpy(vendor + 4, &edx, 4);
	memcpy(vendor + 8, &ecx, 4);
	line_add("{\"event\":\"cpu\",\"vendor\":");
	line_text(vendor);
	line_add(",\"encryptionLeaf\":");
	__cpuid(LARGEST_EXTENDED_LEAF, eax, ebx, ecx, edx);
	if (eax >= ENCRYPTION_LEAF) {
		__cpuid_count(ENCRYPTION_LEAF, 0, eax, ebx, ecx, edx);
		line_add("[\"0x%08x\",\"0x%08x\",\"0x%08x\",\"0x%08x\"]", eax, ebx, ecx, edx);
	} else {
		line_add("null");
	}
	because = read_sev_status(&status);
	if (because)
		line_add(",\"sevStatus\":null");
	else
		line_add(",\"sevStatus\":\"0x%llx\"", (unsigned long long)status);
	line_add(",\"because\":");
	line_text(because);
	line_add("}");
	line_end();
}

const char *kernel_log_line(const char *words)
{
	static char log[1 << 18];
	static char found[512];
	int count = klogctl(KERNEL_LOG_READ_ALL, log, sizeof log - 1);

	if (count < 0)
		return NULL;
	log[count] = '\0';
	const char *at = strstr(log, words);
	if (at == NULL)
		return NULL;
	const char *start = at;
	while (start > log && start[-1] != '\n')
		start--;
	/* `<level>[    0.000000] ` */
	const char *bracket = strchr(start, ']');
	if (bracket && bracket < at && bracket[1] == ' ')
		start = bracket + 2;
	size_t length = strcspn(start, "\n");
	snprintf(found, sizeof found, "%.*s", (int)length, start);
	return found;
}

void report_encryption(void)
{
	line_add("{\"event\":\"encryption\",\"line\":");
	line_text(kernel_log_line("Memory Encryption Features active"));
	line_add("}");
	line_end();
}

/*
 * Which device is the button depends on the machine, so all input devices are watched. The file says that from now on no
 * press is lost.
 */
void wait_for_power_button(const char *watching)
{
	struct pollfd devices[MAX_INPUT_DEVICES];
	struct input_event key;
	nfds_t count = 0;
	char path[32];

	for (int i = 0; i < MAX_INPUT_DEVICES; i++) {
		snprintf(path, sizeof path, "/dev/input/event%d", i);
		int fd = open(path, O_RDONLY);

		if (fd >= 0)
			devices[count++] = (struct pollfd){ .fd = fd, .events = POLLIN };
	}
	close(open(watching, O_CREAT | O_WRONLY, 0600));
	if (count == 0) {
		line_problem("no power button: the kernel shows no input device");
		exit(1);
	}
	for (;;) {
		if (poll(devices, count, -1) < 0)
			exit(1);
		for (nfds_t i = 0; i < count; i++) {
			if (!(devices[i].revents & POLLIN) || read(devices[i].fd, &key, sizeof key) != sizeof key)
				continue;
			if (key.type == EV_KEY && key.code == KEY_POWER && key.value == 1)
				return;
		}
	}
}
