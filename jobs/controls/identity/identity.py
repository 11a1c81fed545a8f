"""Reads what tells one container from another: host name, control group, mounts, boot id, pids."""

import socket
from pathlib import Path

FILES = ("/proc/self/cgroup", "/proc/self/mountinfo", "/proc/sys/kernel/random/boot_id", "/etc/hosts")

with open("identity.txt", "w") as file:
    file.write(f"hostname {socket.gethostname()}\n")
    for name in FILES:
        path = Path(name)
        file.write(f"{name}\n{path.read_text() if path.exists() else 'absent'}\n")
