"""A simulated file system for the store: disks that lose power, fill up and fail where a test says so.

How to use it:

    system = SimOS(clock)                       # clock() is the time in ns
    disk = system.mount("/a", capacity=1 << 20) # one disk per simulated machine; any absolute path
    with installed(system, random=Random(seed)):
        root = Root.open("/a", folder_id)       # the real store on it; several nodes live in one SimOS, each at its top
        ...

- Paths below a mount are simulated, all others are the machine's: SQLite and its directory stay real. The same holds
  for descriptors; simulated ones start at names.FIRST_FD. Nothing can be renamed between the two (EXDEV).
- inotify works too, for `InotifyWatcher` unchanged: its descriptor is one of the machine's, so epoll and event loops
  can wait for it. A simulator that has no loop asks `select` with a timeout of 0, or just calls `read`.
- `disk.script` sees every call before it does anything: `hooks` (count, trace, change the tree under the reader),
  `fail(errno, calls, prefix=, after=, times=)`, `read_only`, `kill_at(k)`. After a kill every call raises Killed, as no
  handler of a killed process runs. Names of calls are those of Call.name: open, create, close, stat, read, write,
  rename, link, unlink, mkdir, rmdir, symlink, readlink, scandir, truncate, lseek, copy_file_range, fallocate, chmod,
  chown, utime, flock, clone, watch, fsync, fdatasync, syncfs, sync.
- `system.restart(disk)` is a new process after a kill; `system.power_cut(disk, random)` a reboot. Both close all
  descriptors of the disk; open everything anew afterwards, as a node does.
- What survives a power cut: bytes of files and attributes that were synced, names in directories that were synced, all
  that syncfs found. Of the rest some: names in order per directory, a rename whole or not at all, attributes in order
  with the names of their inode (mount with ordered=False: in none), bytes in any state (old, empty, zeros, a prefix, a
  patchwork of pages). A sync that failed loses what it was to write, and the next one succeeds.
- A node's database is real, so it has to be cut back by its owner: keep `databases.committed(path)` at a moment when it
  was durable, and `put_back` that or any later one. Leaving it as it is means an index that got to the disk before the
  tree did, which file systems allow.
- ctime and mtime are the clock's, to the nanosecond; a real kernel's steps are some milliseconds. Let the clock step so
  if that matters. Code that takes its own time (Directories in a Workshop uses time.monotonic) may walk anew at other
  moments in another run of a seed.
- SimOS is for one thread at a time. What is not simulated raises NotImplementedError by its name.
"""
