"""Connects to a port of this host, again and again, until a file is there or so many times; says how often it was refused."""

import os
import socket
import sys
import time


def main():
    port, enough = int(sys.argv[1]), sys.argv[2]
    times = int(sys.argv[3]) if len(sys.argv) > 3 else None
    knocks = refused = other = 0
    while not os.path.exists(enough) and (times is None or knocks < times):
        knocks += 1
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                pass
        except ConnectionRefusedError:
            refused += 1
        except OSError:
            other += 1
        # a stranger's share of connections must not run out
        time.sleep(0.02)
    print(f"{knocks} knocks, {refused} refused, {other} other")


main()
