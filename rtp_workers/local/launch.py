"""Becomes a server: changes the user, asks for a signal when the parent dies, then execs. Standard library only.

Run as a script: ``launch.py <parent pid> <signal> <uid or -> <gid or -> program argument...``. It is a script and not
a ``preexec_fn``, because code between fork and exec may deadlock in a program with threads. The order matters, since
the kernel forgets the parent-death signal when the user changes.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Never returns: it ends in exec, or with exit code 1 if the parent is gone already."""
    parent, death_signal, uid, gid, *command = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
