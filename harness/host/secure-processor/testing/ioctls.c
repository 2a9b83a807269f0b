/*
 * Answers the ioctls of /dev/sev and /dev/kvm as a Linux kernel would, for a program under LD_PRELOAD. The structures are
 * those of the kernel's own headers, so that a program with another idea of them gets wrong answers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/psp-sev.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t policy;

static int fail(uint32_t *error, uint32_t status, int number)
{
	if (status)
		*error = status;
	errno = number;
	return -1;
}

static int platform(struct sev_issue_cmd *cmd)
{
	switch (cmd->cmd) {
	case SEV_PLATFORM_STATUS: {
		struct sev_user_data_status *status = (void *)cmd->data;
		status->api_major = 1;
		status->api_minor = 55;
		status->state = 2;
		status->flags = 0x101;
		status->build = 24;
		status->guest_count = 3;
		break;
	}
	case SEV_PDH_CERT_EXPORT: {
		struct sev_user_data_pdh_cert_export *certs = (void *)cmd->data;
		int is_short = certs->pdh_cert_len < 2084 || certs->cert_chain_len < 6252;
		certs->pdh_cert_len = 2084;
		certs->cert_chain_len = 6252;
		if (is_short)
			return fail(&cmd->error, 4, EIO);
		memset((void *)certs->pdh_cert_address, 0xaa, 2084);
		memset((void *)certs->cert_chain_address, 0xbb, 6252);
		break;
	}
	case SEV_GET_ID2: {
		struct sev_user_data_get_id2 *id = (void *)cmd->data;
		id->length = 64;
		memset((void *)id->address, 0xcc, 64);
		break;
	}
	case SEV_PEK_GEN:
		return fail(&cmd->error, 1, EIO);
	case SEV_FACTORY_RESET:
		return fail(&cmd->error, 0, EBUSY);
	case SEV_PDH_GEN:
		if (cmd->data)
			return fail(&cmd->error, 0, EFAULT);
		break;
	default:
		return fail(&cmd->error, 0, EINVAL);
	}
	cmd->error = 0;
	return 0;
}

static void turn(unsigned char *to, const unsigned char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = from[i] ^ 0xff;
}

static int guest(struct kvm_sev_cmd *cmd)
{
	if (fcntl(cmd->sev_fd, F_GETFD) < 0)
		return fail(&cmd->error, 0, EBADF);
	switch (cmd->id) {
	case KVM_SEV_INIT:
		break;
	case KVM_SEV_ES_INIT:
		return fail(&cmd->error, 0, ENOTTY);
	case KVM_SEV_LAUNCH_START: {
		struct kvm_sev_launch_start *start = (void *)cmd->data;
		policy = start->policy;
		if (start->dh_len != 2084 || start->session_len != 128)
			return fail(&cmd->error, 4, EIO);
		if (*(unsigned char *)start->dh_uaddr != 0x11 || *(unsigned char *)start->session_uaddr != 0x22)
			return fail(&cmd->error, 11, EIO);
		break;
	}
	case KVM_SEV_GUEST_STATUS:
		((struct kvm_sev_guest_status *)cmd->data)->policy = policy;
		break;
	case KVM_SEV_LAUNCH_UPDATE_DATA: {
		struct kvm_sev_launch_update_data *update = (void *)cmd->data;
		turn((void *)update->uaddr, (void *)update->uaddr, update->len);
		break;
	}
	case KVM_SEV_LAUNCH_MEASURE: {
		struct kvm_sev_launch_measure *measure = (void *)cmd->data;
		memset((void *)measure->uaddr, 0xdd, measure->len);
		break;
	}
	case KVM_SEV_DBG_DECRYPT: {
		struct kvm_sev_dbg *debug = (void *)cmd->data;
		if (policy & 1)
			return fail(&cmd->error, 7, EIO);
		turn((void *)debug->dst_uaddr, (void *)debug->src_uaddr, debug->len);
		break;
	}
	default:
		return fail(&cmd->error, 0, EINVAL);
	}
	cmd->error = 0;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case SEV_ISSUE_CMD:
		return platform(argument);
	case KVM_CREATE_VM:
		return open("/dev/null", O_RDWR);
	case KVM_MEMORY_ENCRYPT_OP:
		return guest(argument);
	default:
		return syscall(SYS_ioctl, fd, request, argument);
	}
}
