"""Who else has a port that is going to be measured on. The server shares its listeners (a new one
takes over from one that drains), so one left over would take half of the calls, and nobody would
say so."""
import os
import pathlib

from rig.place import LOCAL, SOCKETS
from rig.servers import API, ECHO, MEDIA

OURS = {"tcp": [API, MEDIA], "udp": [ECHO] + [LOCAL + 2 * i for i in range(SOCKETS)]}
HOLDS = {"tcp": ["0A"], "udp": ["01", "07"]} # a connection that is over has its port for a while


def sockets(kind):
    """Port and inode of each socket that something can arrive at."""
    for table in (kind, kind + "6"):
        try:
            lines = pathlib.Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            word = line.split()
            if word[3] in HOLDS[kind]:
                yield int(word[1].rpartition(":")[2], 16), word[9]


def owner(inode):
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) == "socket:[%s]" % inode for fd in (process / "fd").iterdir()):
                return "%s, process %s" % ((process / "comm").read_text().strip(), process.name)
        except OSError:
            continue # it has ended, or is somebody else's
    return "a process that is not ours"


def taken(ports):
    """A sentence for each of these ports that somebody has."""
    return ["%s port %d is held by %s" % (kind, port, owner(inode))
            for kind in ports for port, inode in sorted(set(sockets(kind))) if port in ports[kind]]


def refuse_taken(ports=OURS):
    found = taken(ports)
    if found:
        raise SystemExit("bench/run: nothing is measured, for the ports are not free\n" +
                         "\n".join(found))
