"""Confines this process for good, then becomes another program: `python -I -S confine.py SPEC PROGRAM ARGUMENT...`.

SPEC is one JSON object: `layers` (any of LAYERS; a layer that cannot be had ends the process with 125, so nothing ever runs
less confined than was asked for), `reads`, `writes` and `lists` (paths that Landlock leaves open, to be listed only in the last
case; what is below a folder counts).
Without PROGRAM it prints which of the layers it could apply. Needs nothing but the standard library, and starts no process.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import struct
import sys

LAYERS = ("namespaces", "landlock", "seccomp")
EXIT_UNCONFINED = 125
EXIT_NO_PROGRAM = 127
PROCESSES = 512
"""Threads and processes inside a user namespace of its own; elsewhere the limit would count everything else of the user's."""

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 1, 38, 22, 2
_NEW_USER, _NEW_NET, _NEW_IPC, _NEW_UTS, _NEW_CGROUP = 0x10000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446

# linux/landlock.h: reading is execute, read_file and read_dir; a file has execute, write, read, truncate and ioctl; how many
# rights each version of the interface knows.
_READ, _READ_DIR, _FILE_RIGHTS = 0b1101, 0b1000, 0xC007
_RIGHTS_BY_VERSION = (0, 13, 14, 15, 15, 16)
_NETWORK_VERSION, _SCOPE_VERSION = 4, 6

# Calls that neither a decoder nor an encoder makes: x86_64 and aarch64 numbers.
_REFUSED = {
    "socket": (41, 198), "socketpair": (53, 199), "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "open_by_handle_at": (304, 265), "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104),
    "kill": (62, 129), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138),
    "fork": (57, None), "vfork": (58, None),
}  # fmt: skip
_CLONE, _CLONE3, _CLONE_THREAD = (56, 220), 435, 0x00010000
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32_BIT = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):  # noqa: N818 - states the fact
    """The kernel, or whatever surrounds this process, does not let it have a layer."""


def _call(what: str, result: int) -> int:
    if result < 0:
        raise Unavailable(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def enter_namespaces() -> None:
    """A user, network, IPC and host-name namespace of its own: the network has not even a loopback that is up."""
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", _libc.unshare(_NEW_USER | _NEW_NET | _NEW_IPC | _NEW_UTS | _NEW_CGROUP))
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError as error:
        raise Unavailable(f"user namespace: {error}") from error
    resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


def restrict_files(reads: list[str], writes: list[str], lists: list[str]) -> None:
    """Landlock: nothing but `reads` may be read, nothing but what is below `writes` changed; TCP and signals outward are shut."""
    version = _call("landlock", _libc.syscall(_LANDLOCK_CREATE, None, 0, 1))
    handled = (1 << _RIGHTS_BY_VERSION[min(version, 5)]) - 1
    network = 0b11 if version >= _NETWORK_VERSION else 0
    scoped = 0b11 if version >= _SCOPE_VERSION else 0
    attributes = struct.pack("=QQQ", handled, network, scoped)
    size = 24 if version >= _SCOPE_VERSION else 16 if version >= _NETWORK_VERSION else 8
    ruleset = _call("landlock", _libc.syscall(_LANDLOCK_CREATE, attributes, size, 0))
    for paths, rights in ((reads, _READ), (writes, handled), (lists, _READ_DIR)):
        for path in paths:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # what is not there cannot be read
            allowed = rights & handled if os.path.isdir(path) else rights & handled & _FILE_RIGHTS
            rule = struct.pack("=Qi", allowed, handle)
            _call(f"landlock {path}", _libc.syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0))
            os.close(handle)
    _call("landlock", _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def refuse_calls() -> None:
    """seccomp: no socket of any family, no new process (threads are fine), no debugging, mounting or signalling of others."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise Unavailable(f"seccomp: the calls of {machine} are not known here")
    column, architecture = _ARCHITECTURES[machine]
    filters = _filter(column, architecture)
    program = b"".join(struct.pack("=HBBI", *line) for line in filters)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(filters), ctypes.addressof(buffer))
    _call("seccomp", _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, described, 0, 0))


def _filter(column: int, architecture: int) -> list[tuple[int, int, int, int]]:
    """Classic BPF over struct seccomp_data: number at 0, architecture at 4, low half of the first argument at 16."""
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, kill = 0x7FFF0000, 0x80000000
    refuse, unknown = 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    if column == 0:
        lines += [(at_least, 0, 1, _X32_BIT), (answer, 0, 0, refuse)]
    # glibc falls back from clone3, whose flags no filter can see, to clone.
    lines += [(equal, 0, 1, _CLONE3), (answer, 0, 0, unknown)]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    lines += [(equal, 0, 3, _CLONE[column]), (load, 0, 0, 16), (any_bit, 1, 0, _CLONE_THREAD), (answer, 0, 0, refuse)]
    lines.append((answer, 0, 0, allow))
    return lines


def apply(layers: list[str], reads: list[str], writes: list[str], lists: list[str]) -> None:
    """Applies `layers` in the one order that works. Raises Unavailable at the first that cannot be had."""
    parent = os.getppid()
    if "namespaces" in layers:
        enter_namespaces()
    # A change of credentials forgets it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise Unavailable("the parent is gone")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _call("no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if "landlock" in layers:
        restrict_files(reads, writes, lists)
    if "seccomp" in layers:
        refuse_calls()


def main(argv: list[str]) -> int:
    """Becomes the program, or says why not."""
    spec = json.loads(argv[1])
    if len(argv) == 2:
        had = []
        for layer in LAYERS:
            try:
                apply([layer], ["/"], [], [])
            except (Unavailable, OSError):
                continue
            had.append(layer)
        sys.stdout.write(json.dumps(had) + "\n")
        return 0
    try:
        apply(spec["layers"], spec["reads"], spec["writes"], spec["lists"])
    except (Unavailable, OSError, ValueError) as error:
        sys.stderr.write(f"not confined: {error}\n")
        return EXIT_UNCONFINED
    try:
        os.execv(argv[2], argv[2:])  # noqa: S606 - an argument list of ours, no shell
    except OSError as error:
        sys.stderr.write(f"{argv[2]}: {error}\n")
        return EXIT_NO_PROGRAM


if __name__ == "__main__":
    sys.exit(main(sys.argv))
