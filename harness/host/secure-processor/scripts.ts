/**
 * What the harness runs on a real host to ask the kernel's SEV driver and KVM: Python, because hosts have it and no
 * compiler. Each takes JSON as its first argument and prints JSON. Structures as in linux/psp-sev.h and linux/kvm.h.
 */

/** ioctls of /dev/sev. Input: `{device, commands: [{command, lengths?}]}`. */
export const SEV_DEVICE_SCRIPT = `
import base64, ctypes, fcntl, json, os, struct, sys
SEV_ISSUE_CMD = 0xC0105300
NUMBER = {'FACTORY_RESET': 0, 'PLATFORM_STATUS': 1, 'PEK_GEN': 2, 'PEK_CSR': 3, 'PDH_GEN': 4,
          'PDH_CERT_EXPORT': 5, 'GET_ID': 8, 'SNP_PLATFORM_STATUS': 9}
STATUS_BYTES = {'PLATFORM_STATUS': 12, 'SNP_PLATFORM_STATUS': 32}
NO_FIRMWARE_CALL = 0xFFFFFFFF

def open_device(path):
    try:
        return os.open(path, os.O_RDWR)
    except PermissionError:
        return os.open(path, os.O_RDONLY)

def run(device, command, lengths):
    buffers = [ctypes.create_string_buffer(max(n, 1)) for n in lengths]
    if command in STATUS_BYTES:
        buffers = [ctypes.create_string_buffer(STATUS_BYTES[command])]
        body = buffers[0]
    else:
        fields = b''.join(struct.pack('<QI', ctypes.addressof(b) if n else 0, n) for b, n in zip(buffers, lengths))
        body = ctypes.create_string_buffer(fields, len(fields)) if fields else None
    issue = bytearray(struct.pack('<IQI', NUMBER[command], ctypes.addressof(body) if body else 0, NO_FIRMWARE_CALL))
    errno = 0
    try:
        fcntl.ioctl(device, SEV_ISSUE_CMD, issue, True)
    except OSError as error:
        errno = error.errno
    status = struct.unpack('<IQI', issue)[2]
    if command in STATUS_BYTES:
        left = [STATUS_BYTES[command]]
    else:
        left = [struct.unpack_from('<QI', body, 12 * i)[1] for i in range(len(buffers))]
    outputs = [base64.b64encode(b.raw[:n]).decode() for b, n in zip(buffers, left)] if errno == 0 else []
    return {'errno': errno, 'status': None if status == NO_FIRMWARE_CALL else status, 'lengths': left, 'outputs': outputs}

request = json.loads(sys.argv[1])
try:
    device = open_device(request['device'])
except OSError as error:
    print(json.dumps({'unopened': error.errno}))
    sys.exit(0)
print(json.dumps({'answers': [run(device, c['command'], c.get('lengths', [])) for c in request['commands']]}))
`;

/** An encrypted VM without vCPUs, QEMU or memory slots, gone with the process. Input: `{kvm, device, launches}`. */
export const BARE_LAUNCH_SCRIPT = `
import base64, ctypes, fcntl, json, mmap, os, struct, sys
KVM_CREATE_VM, KVM_MEMORY_ENCRYPT_OP = 0xAE01, 0xC008AEBA
INIT, ES_INIT, START, UPDATE, MEASURE, GUEST_STATUS, DBG_DECRYPT = 0, 1, 2, 3, 6, 16, 17
PAGE, NO_FIRMWARE_CALL = 4096, 0xFFFFFFFF

def at(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))

def operate(vm, device, number, body=None):
    command = bytearray(struct.pack('<I4xQII', number, at(body) if body else 0, NO_FIRMWARE_CALL, device))
    errno = 0
    try:
        fcntl.ioctl(vm, KVM_MEMORY_ENCRYPT_OP, command, True)
    except OSError as error:
        errno = error.errno
    status = struct.unpack('<I4xQII', command)[2]
    return {'errno': errno, 'status': None if status == NO_FIRMWARE_CALL else status}

def launch(kvm, device, wanted):
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    try:
        answer = {'init': operate(vm, device, ES_INIT if wanted['isEs'] else INIT), 'loads': []}
        if answer['init']['errno']:
            return answer
        cert, session = (bytearray(base64.b64decode(wanted.get(k, ''))) for k in ('dhCert', 'session'))
        body = bytearray(struct.pack('<IIQI4xQI4x', 0, wanted['policy'], at(cert) if cert else 0, len(cert),
                                     at(session) if session else 0, len(session)))
        answer['start'] = operate(vm, device, START, body)
        if answer['start']['errno']:
            return answer
        told = bytearray(12)
        if operate(vm, device, GUEST_STATUS, told)['errno'] == 0:
            answer['reportedPolicy'] = struct.unpack('<III', told)[1]
        memory = mmap.mmap(-1, PAGE * 4)
        base = at(memory)
        ctypes.CDLL(None).mlock(ctypes.c_void_p(base), ctypes.c_size_t(PAGE * 4))
        for load in wanted.get('loads', []):
            place = PAGE * load['page']
            memory[place:place + PAGE] = bytes.fromhex(load['fillHex']) * (PAGE // 16)
            step = operate(vm, device, UPDATE, bytearray(struct.pack('<QI4x', base + place, PAGE)))
            answer['loads'].append({**step, 'seenHex': memory[place:place + 16].hex()})
        if 'debugPage' in wanted:
            source, target = base + PAGE * wanted['debugPage'], base + PAGE * 3
            step = operate(vm, device, DBG_DECRYPT, bytearray(struct.pack('<QQI4x', source, target, 16)))
            answer['debug'] = {**step, 'seenHex': memory[PAGE * 3:PAGE * 3 + 16].hex()}
        if wanted.get('isMeasured'):
            blob = bytearray(48)
            answer['measure'] = operate(vm, device, MEASURE, bytearray(struct.pack('<QI4x', at(blob), 48)))
            answer['measurement'] = base64.b64encode(blob).decode()
        return answer
    finally:
        os.close(vm)

request = json.loads(sys.argv[1])
try:
    kvm, device = (os.open(request[name], os.O_RDWR) for name in ('kvm', 'device'))
except OSError as error:
    print(json.dumps({'unopened': error.errno}))
    sys.exit(0)
print(json.dumps({'answers': [launch(kvm, device, wanted) for wanted in request['launches']]}))
`;

/** Writes settings of kernel samepage merging, in the order given; answers which the kernel did not take. */
export const KSM_SETTINGS_SCRIPT = `
import json, sys

refused = []
for name, value in json.loads(sys.argv[1]).items():
    try:
        with open('/sys/kernel/mm/ksm/' + name, 'w') as file:
            file.write(str(value))
    except OSError as error:
        refused.append('%s=%s: %s' % (name, value, error.strerror))
print(json.dumps({'refused': refused}))
`;
