"""System calls that sandlock leaves open and a guest must not make (sandlock 0.9, Linux 6.18)."""

from __future__ import annotations

import platform

_DIES_WITH_THE_HOST = (
    "prctl setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset"
)
"""Would clear the parent-death signal, on which the guest's end with a killed host rests."""

_FILES_OUTSIDE = (
    "fchmod fchmodat fchmodat2 fchown fchownat utimensat "
    "setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat "
    "file_setattr inotify_add_watch fanotify_init mq_open mq_unlink"
)
"""Landlock rules on contents, not on a file's mode, owner, times and attributes, on watching it, or
on message queues: whatever the host's user owns would be in reach."""

_OTHER_PROCESSES = (
    "prlimit64 setrlimit setpriority ioprio_set sched_setaffinity "
    "sched_setscheduler sched_setparam sched_setattr pidfd_open pidfd_getfd pidfd_send_signal "
    "process_madvise process_mrelease kcmp move_pages migrate_pages"
)
"""Name a process by number. Landlock scopes signals and tracing alone; a CPU limit of one second
kills the host as well as a signal does."""

_SYSTEM = (
    "mknodat fsopen fspick fsmount open_tree open_tree_attr mount_setattr chroot vhangup "
    "syslog clock_settime clock_adjtime settimeofday adjtimex kexec_file_load"
)
"""For a host with root's powers: devices made in the working directory, the mount tables that
Landlock has no hook for, the clock, the kernel's messages."""

_UNCOUNTED = "memfd_create memfd_secret listen accept accept4 seccomp"
"""memfd is memory that no limit counts; sandlock does not gate listening for MPTCP; a filter of the
guest's own could compete with the boundary's."""

_X86_ONLY = "chmod chown lchown utime utimes futimesat mknod modify_ldt"
"""Older names of the above. Newer architectures never had them, and sandlock refuses them there."""


def denied_calls() -> list[str]:
    """Their names, for this machine's architecture."""
    groups = [_DIES_WITH_THE_HOST, _FILES_OUTSIDE, _OTHER_PROCESSES, _SYSTEM, _UNCOUNTED]
    if platform.machine() == "x86_64":
        groups.append(_X86_ONLY)
    return " ".join(groups).split()
