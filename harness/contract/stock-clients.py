"""What a user of libvirt-python does with a SEV host; prints what it found as one JSON object."""

import json
import sys
import threading
import time

import libvirt
import libvirt_qemu

uri, xml = sys.argv[1], sys.argv[2]
found = {"events": []}

libvirt.virEventRegisterDefaultImpl()


def run_events():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=run_events, daemon=True).start()


def on_lifecycle(_connection, domain, event, detail, _opaque):
    found["events"].append([domain.name(), event, detail])


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"saw only {found['events']}")
        time.sleep(0.01)


connection = libvirt.open(uri)
connection.setKeepAlive(1, 3)
callback = connection.domainEventRegisterAny(
    None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle, None
)
found["sev"] = connection.getSEVInfo()
found["type"] = connection.getType()
domain = connection.defineXML(xml)
domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
found["state"] = domain.state()
found["launch"] = domain.launchSecurityInfo()
found["monitor"] = json.loads(
    libvirt_qemu.qemuMonitorCommand(domain, '{"execute":"query-sev"}', 0)
)["return"]["state"]
domain.resume()
found["info"] = domain.info()
found["listed"] = [other.name() for other in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)]
try:
    domain.create()
except libvirt.libvirtError as error:
    found["twice"] = [error.get_error_code(), error.get_error_domain(), error.get_error_message()]
# Longer than the keepalive allows silence: the host has to answer the PINGs.
time.sleep(4.5)
found["alive"] = connection.isAlive()
domain.destroy()
domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
wait_for(lambda: found["events"] and found["events"][-1][1] == libvirt.VIR_DOMAIN_EVENT_UNDEFINED)
connection.domainEventDeregisterAny(callback)
connection.close()
print(json.dumps(found))
