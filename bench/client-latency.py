"""The libvirt-python side of client-latency.mjs: one request a line, one line of milliseconds for each call back."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import libvirt

THREADS = 8

connection = libvirt.open(sys.argv[1])
domain = connection.lookupByName(sys.argv[2])


def many(calls):
    for _ in range(calls):
        domain.info()


with ThreadPoolExecutor(THREADS) as pool:
    for request in sys.stdin:
        kind, count = request.split()
        calls = int(count)
        started = time.perf_counter()
        if kind == "threads":
            list(pool.map(many, [calls // THREADS] * THREADS))
        else:
            many(calls)
        print((time.perf_counter() - started) * 1000 / calls, flush=True)
connection.close()
