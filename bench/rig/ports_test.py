"""A port that somebody has is found, and who it is; the gate's `bench` runs it."""
import os
import socket
import unittest

from rig import ports

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def bound(kind):
    """As the server's own: it would be shared with whoever asks for the same."""
    it = socket.socket(socket.AF_INET, KINDS[kind])
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    it.bind(("127.0.0.1", 0))
    if kind == "tcp":
        it.listen()
    return it, it.getsockname()[1]


class Ports(unittest.TestCase):
    def test_who_has_a_port_is_named(self):
        for kind in KINDS:
            it, port = bound(kind)
            with it:
                with self.assertRaises(SystemExit) as refused:
                    ports.refuse_taken({kind: [port]})
                self.assertIn("%s port %d is held by " % (kind, port), str(refused.exception))
                self.assertIn("process %d" % os.getpid(), str(refused.exception))
            ports.refuse_taken({kind: [port]})

    def test_the_other_kind_and_a_connection_that_is_over_are_nobody(self):
        it, port = bound("tcp")
        with it:
            ports.refuse_taken({"udp": [port]})
            ours = socket.create_connection(("127.0.0.1", port))
            theirs = it.accept()[0]
            theirs.close() # first: the port's side is the one that waits
            ours.close()
        ports.refuse_taken({"tcp": [port]})


if __name__ == "__main__":
    unittest.main()
