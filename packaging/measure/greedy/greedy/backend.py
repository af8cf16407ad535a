"""A build that takes all it can get, until it is cancelled: every core several
times over, most of the memory it may have, and new processes without end."""
import os, subprocess, sys, time

MEMORY = 1600 << 20  # of the 2 GiB that a build may have


def burn():
    while True:
        pass


def fork():
    while True:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def remember():
    memory = bytearray(MEMORY)
    while True:
        for page in range(0, MEMORY, 4096):
            memory[page] = (memory[page] + 1) % 256


def build_wheel(*args, **kwargs):
    cores = os.cpu_count()
    for deed, times in ("burn", 4 * cores), ("fork", 2 * cores), ("remember", 1):
        for _ in range(times):
            subprocess.Popen([sys.executable, __file__, deed])
    time.sleep(3600)


if __name__ == "__main__":
    {"burn": burn, "fork": fork, "remember": remember}[sys.argv[1]]()
