//! Every call to the operating system that std and tokio have no safe word for, and every `unsafe` of the project.
//!
//! Not here: decisions. Callers say what, this says how on Linux.
#![expect(unsafe_code, reason = "the one place for system calls that nothing safe wraps")]

mod clone3;
mod unlinked;

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::sys::signalfd::SfdFlags;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::event::Exit;
use crate::policy::remainder::Process;

/// Why the operating system refused.
pub use nix::errno::Errno;
/// A Unix signal that was sent to us.
pub use nix::sys::signal::Signal as UnixSignal;
/// Signals as a descriptor.
pub use nix::sys::signalfd::SignalFd;

/// What an error number means, in libc's words, which are those that people search for; lower case.
pub fn describe(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = words.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// The number of SIGTERM.
pub const TERMINATE: i32 = libc::SIGTERM;
/// The number of SIGKILL.
pub const KILL: i32 = libc::SIGKILL;
/// The numbers of the signals that stop a process and can be caught.
pub const STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
/// The number of SIGCONT.
pub const CONTINUE: i32 = libc::SIGCONT;

/// Signals that the CPU raises: blocking them would turn a crash into a hang.
const SYNCHRONOUS: [Signal; 6] =
    [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGABRT, Signal::SIGTRAP];

/// What we act upon. SIGQUIT is the `STOPSIGNAL` of some base images, nginx' among them.
const HANDLED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

/// SIGRTMIN+3, by which LXC, podman, nspawn and systemd-made images stop their PID 1.
pub const ORDERLY_STOP: i32 = 37;

/// The set with a real-time signal in it, for which nix has no name.
fn with_number(set: &SigSet, signal: i32) -> SigSet {
    let mut raw: libc::sigset_t = *set.as_ref();
    // SAFETY: `raw` is initialised and outlives the call.
    unsafe { libc::sigaddset(&mut raw, signal) };
    // SAFETY: the set is initialised.
    unsafe { SigSet::from_sigset_t_unchecked(raw) }
}

/// Makes this process fit to supervise others; the first thing that it does.
///
/// All signals are blocked, so that none is lost before somebody listens and none ends us, and have their default
/// disposition, so that children do and SIGCHLD brings exit statuses. Whatever descriptors we were started with stay
/// ours. Orphans below us come to us.
pub fn prepare_process() -> io::Result<()> {
    let mut mask = SigSet::all();
    for signal in SYNCHRONOUS {
        mask.remove(signal);
    }
    mask.thread_set_mask()?;
    default_dispositions();
    keep_descriptors();
    can_wait()?;
    become_subreaper()
}

/// Whether ends of children can be learned of at all. A sandbox that forbids it would have us wait for ever later.
fn can_wait() -> io::Result<()> {
    // SAFETY: an all-zero siginfo_t is valid; waitid fills it in.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` outlives the call, which reaps nobody.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) };
    match Errno::last() {
        errno if result == -1 && !matches!(errno, Errno::ECHILD | Errno::EINTR) => Err(errno.into()),
        _ => Ok(()),
    }
}

/// The size of a page of memory.
const PAGE: usize = 4096;

/// The highest signal number of Linux.
const LAST_SIGNAL: libc::c_long = 64;

/// Gives every signal its default disposition, so that children have it without being told; but std has SIGPIPE ignored.
/// Real-time signals are among them, also the two that libc refuses to touch: some parents ignore them.
pub fn default_dispositions() {
    // The kernel's own struct: handler, flags, restorer, mask. All zeros is the default.
    let default = [0u64; 4];
    let size_of_mask: libc::c_long = 8;
    for signal in (1..=LAST_SIGNAL).filter(|signal| *signal != libc::c_long::from(libc::SIGPIPE)) {
        let nothing = std::ptr::null_mut::<u64>();
        // SAFETY: `default` outlives the call, and the default disposition runs no code of ours. SIGKILL and SIGSTOP
        // refuse, which is all right: they cannot have another one.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, size_of_mask) };
    }
}

/// Keeps children from getting the descriptors that we were started with.
pub fn keep_descriptors() {
    // SAFETY: only sets a flag on descriptors.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) } == 0 {
        return;
    }
    // A kernel without the call (before 5.11), or a sandbox that forbids it. Without /proc they stay as they are.
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let descriptors = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for descriptor in descriptors.filter(|descriptor| *descriptor > 2) {
        // SAFETY: only sets a flag on a descriptor; that of the folder is closed already or has it.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Makes orphans below us our children. As PID 1 they are anyway.
pub fn become_subreaper() -> io::Result<()> {
    if std::process::id() != 1 {
        nix::sys::prctl::set_child_subreaper(true)?;
    }
    Ok(())
}

/// The status that a stop signal ends us with before anything has been started.
static EARLY_STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn end_early(_signal: libc::c_int) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(EARLY_STATUS.load(Ordering::Relaxed)) }
}

/// Runs `work`, which may block, while a stop signal ends the process at once with status 0: nothing has been started.
/// To be called after `prepare_process`, while there is one thread.
pub fn stoppable<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let stops = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
    let end = SigAction::new(SigHandler::Handler(end_early), SaFlags::empty(), SigSet::empty());
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let mut set = SigSet::empty();
    for signal in stops {
        set.add(signal);
        // SAFETY: the handler calls nothing but _exit.
        unsafe { nix::sys::signal::sigaction(signal, &end) }?;
    }
    let set = with_number(&set, ORDERLY_STOP);
    let handler: extern "C" fn(libc::c_int) = end_early;
    // SAFETY: the handler calls nothing but _exit.
    unsafe { libc::signal(ORDERLY_STOP, handler as libc::sighandler_t) };
    set.thread_unblock()?;
    let result = work();
    set.thread_block()?;
    // SAFETY: the default disposition runs no code of ours, and the signal is blocked.
    unsafe { libc::signal(ORDERLY_STOP, libc::SIG_DFL) };
    for signal in stops {
        // SAFETY: the default disposition runs no code of ours, and the signals are blocked.
        unsafe { nix::sys::signal::sigaction(signal, &default) }?;
    }
    Ok(result)
}

/// The signals that we act upon, or all that can be caught, to be read when they come. They have to be blocked.
pub fn signal_fd(all: bool) -> io::Result<SignalFd> {
    let mut set = if all { SigSet::all() } else { SigSet::empty() };
    for signal in HANDLED {
        set.add(signal);
    }
    for signal in SYNCHRONOUS {
        set.remove(signal);
    }
    let set = with_number(&set, ORDERLY_STOP);
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// The next signal that has come, if any, by its number.
pub fn read_signal(fd: &SignalFd) -> Option<i32> {
    loop {
        match fd.read_signal() {
            Ok(Some(info)) => return i32::try_from(info.ssi_signo).ok(),
            Ok(None) => return None,
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Where the three standard streams of a child go.
#[derive(Debug)]
pub struct Streams<'fd> {
    /// Its stdin; our own if absent, and with it the terminal, if that is ours to give.
    pub stdin: Option<BorrowedFd<'fd>>,
    /// Its stdout; our own if absent.
    pub stdout: Option<BorrowedFd<'fd>>,
    /// Its stderr; our own if absent.
    pub stderr: Option<BorrowedFd<'fd>>,
}

/// Starts a program in a process group of its own, with default signal dispositions, an empty mask, and no descriptors
/// but its three streams. The parent stands still until the program runs, so its error is known here and no memory is
/// copied (vfork semantics). `program` is a path; nothing is looked up.
pub fn spawn<A, E>(program: &CStr, args: &[A], env: &[E], streams: &Streams<'_>) -> Result<i32, Errno>
where
    A: AsRef<CStr>,
    E: AsRef<CStr>,
{
    let mut files = PosixSpawnFileActions::init()?;
    if let Some(stdin) = streams.stdin {
        files.add_dup2(stdin.as_raw_fd(), 0)?;
    }
    if let Some(stdout) = streams.stdout {
        files.add_dup2(stdout.as_raw_fd(), 1)?;
    }
    if let Some(stderr) = streams.stderr {
        files.add_dup2(stderr.as_raw_fd(), 2)?;
    }
    if streams.stdin.is_none() && has_the_terminal() {
        let actions = std::ptr::from_mut(&mut files).cast();
        // SAFETY: nix's type is transparent, so this is libc's, which lives on; 0 is our stdin. In the child, so that no Ctrl-Z
        // comes in between.
        let errno = unsafe { libc::posix_spawn_file_actions_addtcsetpgrp_np(actions, 0) };
        if errno != 0 {
            return Err(Errno::from_raw(errno));
        }
    }
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigdefault(&all_signals())?;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_pgroup(Pid::from_raw(0))?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    Ok(posix_spawn(program, &files, &attributes, args, env)?.as_raw())
}

/// Every signal, glibc's own two too, which posix_spawn would have its child ignore. std has SIGPIPE ignored; the others are default
/// ones already (`default_dispositions`), but of a signal that it need not reset posix_spawn asks first whether it must: that is
/// a second system call for each, while we stand still.
fn all_signals() -> SigSet {
    // SAFETY: an all-zero set is the empty one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is an array of words, of which the first holds signals 1 to 64. sigaddset refuses 32 and 33.
    unsafe { std::ptr::from_mut(&mut set).cast::<u64>().write(u64::MAX) };
    // SAFETY: the set is initialised.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// A pipe of which only the end for reading is non-blocking: the other becomes a child's.
///
/// Whatever user the child becomes may open it anew, as `/dev/stdout` or `/proc/self/fd/2`: as for a terminal, by its mode.
pub fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    use nix::sys::stat::{Mode, fchmod};
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    fchmod(&write, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWGRP | Mode::S_IWOTH)?;
    Ok((read, write))
}

/// What tells a pipe from all others of this kernel.
pub fn inode(of: impl AsFd) -> Result<u64, Errno> {
    Ok(nix::sys::stat::fstat(of)?.st_ino)
}

/// Sends a signal to every process of a run's group, and to its leader if that has moved into another one. Their being gone is
/// no failure.
pub fn signal_run(leader: i32, signal: i32) -> Result<(), Errno> {
    let in_group = signal_group(leader, signal);
    match group_of(leader) {
        Some(group) if group != leader => signal_process(leader, signal).or(in_group),
        Some(_) | None => in_group,
    }
}

/// Sends a signal to every process of a group. The group being gone is no failure.
pub fn signal_group(leader: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory. A negative pid is a group; 0 and -1 would be others, hence the check.
    if leader > 1 && unsafe { libc::kill(-leader, signal) } == -1 {
        let errno = Errno::last();
        return if errno == Errno::ESRCH { Ok(()) } else { Err(errno) };
    }
    Ok(())
}

/// Sends a signal to one process. Its being gone is no failure.
pub fn signal_process(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill touches no memory. Numbers below 2 would mean others, hence the check.
    if pid > 1 && unsafe { libc::kill(pid, signal) } == -1 {
        let errno = Errno::last();
        return if errno == Errno::ESRCH { Ok(()) } else { Err(errno) };
    }
    Ok(())
}

/// The number of the signal of Ctrl-Z.
pub const TERMINAL_STOP: i32 = libc::SIGTSTP;

/// The signal that has stopped a child since the last look.
pub fn stopped_by(pid: i32) -> Option<i32> {
    let pid = libc::id_t::try_from(pid).ok()?;
    // SAFETY: an all-zero siginfo_t is valid; waitid fills it in.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` outlives the call.
    let result = unsafe { libc::waitid(libc::P_PID, pid, &mut info, libc::WSTOPPED | libc::WNOHANG) };
    // SAFETY: waitid has filled in the fields of SIGCHLD, or left the zeros.
    let (stopped, signal) = unsafe { (info.si_pid(), info.si_status()) };
    (result == 0 && stopped != 0).then_some(signal)
}

/// Whether our stdin is the terminal that controls us.
pub fn has_terminal() -> bool {
    // SAFETY: touches no memory.
    unsafe { libc::tcgetpgrp(0) != -1 }
}

/// Stops this process; returns once somebody continues it. PID 1 cannot be stopped.
pub fn stop_until_continued() {
    // SAFETY: touches no memory.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Stops our process group, as Ctrl-Z does with one in the foreground; true once somebody has continued it. False where nobody
/// would, and so the kernel stops nobody: as PID 1, and where the group has no parent in the session that could be a shell.
pub fn stop_as_by_the_terminal() -> io::Result<bool> {
    // Our group may be one from outside of the container.
    if std::process::id() == 1 {
        return Ok(false);
    }
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTSTP);
    // SAFETY: touches no memory. 0 is our own group.
    unsafe { libc::kill(0, libc::SIGTSTP) };
    // It is blocked in all threads until now, and has its default disposition.
    stop.thread_unblock()?;
    stop.thread_block()?;
    // SAFETY: an all-zero set is the empty one.
    let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `pending` outlives the calls. A stop takes back any SIGCONT that came before it.
    Ok(unsafe { libc::sigpending(&mut pending) == 0 && libc::sigismember(&pending, libc::SIGCONT) == 1 })
}

/// Whether our stdin is the terminal that controls us, and we are in its foreground.
fn has_the_terminal() -> bool {
    // SAFETY: these touch no memory.
    unsafe { libc::tcgetpgrp(0) == libc::getpgrp() }
}

/// Gives the terminal that we were started on to a process group; false if it is not ours to give, or there is none.
pub fn put_into_foreground(group: i32) -> bool {
    // SAFETY: this touches no memory. SIGTTOU is blocked, so that nobody stops us for it.
    has_the_terminal() && unsafe { libc::tcsetpgrp(0, group) == 0 }
}

/// Takes the terminal back from a process group that has it.
pub fn come_into_foreground(group: i32) {
    // SAFETY: these touch no memory. SIGTTOU is blocked, so that nobody stops us for it.
    unsafe {
        if libc::tcgetpgrp(0) == group {
            libc::tcsetpgrp(0, libc::getpgrp());
        }
    }
}

/// A child that has ended, still unreaped: its pid and its group's id cannot be taken by anybody else yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its pid.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
}

/// What there is to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// This one has ended.
    Ended(Ended),
    /// There are some, and all of them run.
    Running,
    /// There is none.
    None,
}

/// The next child that has ended, without reaping it.
pub fn next_ended() -> Children {
    loop {
        // SAFETY: an all-zero siginfo_t is valid; waitid fills it in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` outlives the call.
        if unsafe { libc::waitid(libc::P_ALL, 0, &mut info, flags) } == -1 {
            if Errno::last() == Errno::EINTR {
                continue;
            }
            return Children::None;
        }
        // SAFETY: waitid has filled in the fields of SIGCHLD, or left the zeros.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Children::Running;
        }
        let exit = if info.si_code == libc::CLD_EXITED {
            Exit::Status(u8::try_from(status & 0xff).unwrap_or(u8::MAX))
        } else {
            Exit::Signal(status)
        };
        return Children::Ended(Ended { pid, exit });
    }
}

/// Reaps a child that `next_ended` has reported.
pub fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: `status` outlives the call. nix would lose the status of a death by a real-time signal, we have it already.
    while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == -1 && Errno::last() == Errno::EINTR {}
}

unsafe extern "C" {
    /// Where the linker has put the first byte of the program, and the first behind its code.
    static __executable_start: u8;
    static etext: u8;
}

/// Takes the pages of the program that start-up has touched, several megabytes of them, out of this process. They stay in
/// the page cache; what is needed again comes back by itself, a few microseconds for 64 KiB.
pub fn forget_start_up() {
    let (start, end) = (&raw const __executable_start, &raw const etext);
    let size = (end as usize).saturating_sub(start as usize) & !(PAGE - 1);
    // SAFETY: this part of the program is never written to, so that nothing is lost: it is read from the file again.
    unsafe { libc::madvise(start.cast_mut().cast(), size, libc::MADV_DONTNEED) };
}

/// Sends a signal to every process of our namespace but ourselves. Only as PID 1: elsewhere it would reach strangers.
pub fn signal_everybody(signal: i32) {
    if std::process::id() == 1 {
        // SAFETY: touches no memory. As PID 1, -1 means every other process of our namespace.
        unsafe { libc::kill(-1, signal) };
    }
}

/// Sends signals to this very process, not to another one that has its number by now. Its being gone is no failure.
///
/// Without `/proc` nobody can be told apart: a negative number is a whole group, -1 everybody below PID 1.
pub fn signal_exactly(process: Process, signals: &[i32]) -> Result<(), Errno> {
    if process.pid == -1 {
        signals.iter().for_each(|signal| signal_everybody(*signal));
        return Ok(());
    }
    if process.pid < 0 {
        return signals.iter().try_for_each(|signal| signal_group(-process.pid, *signal));
    }
    // SAFETY: touches no memory; the result is a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
    // Checked after the descriptor was made: from then on it means this process.
    if !crate::processes::is_alive(process) {
        drop(i32::try_from(fd).ok().and_then(owned));
        return Ok(());
    }
    let Some(fd) = i32::try_from(fd).ok().and_then(owned) else {
        // A kernel before 5.3, a sandbox or a lack of descriptors.
        return signals.iter().try_for_each(|signal| signal_process(process.pid, *signal));
    };
    for signal in signals {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: touches no memory; the descriptor is open.
        let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), *signal, nothing, 0) };
        match Errno::result(result) {
            Ok(_) | Err(Errno::ESRCH) => {}
            Err(Errno::ENOSYS) => signal_process(process.pid, *signal)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn owned(fd: RawFd) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: callers pass what a system call has just returned: a new descriptor that nothing else owns, or -1.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a process group has a member, be it a zombie.
pub fn group_exists(group: i32) -> bool {
    // SAFETY: signal 0 is sent to nobody. 0 and -1 would be other groups, hence the check.
    group > 1 && (unsafe { libc::kill(-group, 0) } == 0 || Errno::last() != Errno::ESRCH)
}

/// The process group of a process.
pub fn group_of(pid: i32) -> Option<i32> {
    nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// The time since the system started, in the ticks in which `/proc` tells when a process did.
pub fn ticks_since_boot() -> u64 {
    // SAFETY: an all-zero timespec is valid.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let ticks = clock_ticks();
    // The part of a second is below the number of ticks in one.
    let rest = std::time::Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)).mul_f64(ticks).as_secs();
    seconds.saturating_mul(std::time::Duration::from_secs_f64(ticks).as_secs()).saturating_add(rest)
}

/// Where programs are looked for without PATH in the environment, as LXC starts us; PATH set to nothing stays so.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The paths where a shell would look for a program's name, in order; the name itself if it has a slash.
pub fn find_program(name: &CString, path: Option<&[u8]>) -> Option<CString> {
    use nix::unistd::{AccessFlags, access};
    let bytes = name.as_bytes();
    if bytes.contains(&b'/') {
        return Some(name.clone());
    }
    let path = path.unwrap_or(DEFAULT_PATH);
    // 3.8: an empty PATH has no folder, not even the working one.
    path.split(|byte| *byte == b':').filter(|_| !path.is_empty()).find_map(|folder| {
        let folder = if folder.is_empty() { b"." } else { folder };
        let candidate = CString::new([folder, b"/", bytes].concat()).ok()?;
        access(candidate.as_c_str(), AccessFlags::X_OK).ok()?;
        let file = std::fs::metadata(std::ffi::OsStr::from_bytes(candidate.as_bytes())).ok()?.is_file();
        file.then_some(candidate)
    })
}

/// Waits until a descriptor that is in non-blocking mode takes data again.
pub fn wait_writable(fd: impl AsFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    // A failure shows at the next write.
    poll(&mut fds, PollTimeout::NONE).unwrap_or_default();
}

/// Our own stdout or stderr as a file that shares its offset and is not inherited.
pub fn duplicate(fd: impl AsFd) -> io::Result<File> {
    Ok(File::from(fd.as_fd().try_clone_to_owned()?))
}

/// Opens a FIFO to write to it, without waiting for somebody who reads. While there is nobody, writing fails as on a pipe whose
/// reader is gone; whoever comes gets what is written from then on.
pub fn write_to_fifo(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let without_waiting = OFlag::O_NONBLOCK.bits();
    match OpenOptions::new().write(true).custom_flags(without_waiting).open(path) {
        Err(cause) if cause.raw_os_error() == Some(libc::ENXIO) => {
            // For as long as it takes there is somebody: we ourselves.
            let _reader = OpenOptions::new().read(true).custom_flags(without_waiting).open(path)?;
            OpenOptions::new().write(true).custom_flags(without_waiting).open(path)
        }
        done => done,
    }
}

/// Signals as something that the event loop can wait for.
pub fn watch_signals(signals: SignalFd) -> io::Result<AsyncFd<SignalFd>> {
    // SAFETY: a SignalFd owns its descriptor and gives it to nobody, so it stays open and the same while registered.
    Ok(unsafe { AsyncFd::register(signals) }?)
}

/// An epoll instance inside the runtime's: one registration there, however many pipes here.
#[derive(Debug)]
pub struct PipePoll(Epoll);

/// How many pipes one look finds ready at most.
pub const READY: usize = 64;

impl PipePoll {
    /// Makes one without pipes.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Whether it can be asked at all, which a sandbox may forbid.
    pub fn check(&self) -> io::Result<()> {
        self.0.wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO)?;
        Ok(())
    }

    /// Lets the event loop of this thread wait for it.
    pub fn watch(self: Arc<Self>) -> io::Result<AsyncFd<Arc<Self>>> {
        // SAFETY: the value owns its descriptor; nobody replaces it while it is registered.
        Ok(unsafe { AsyncFd::register(self) }?)
    }

    /// Reports this pipe from now on, under this key, as long as there is something to read.
    pub fn add(&self, pipe: impl AsFd, key: u64) -> Result<(), Errno> {
        self.0.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN, key))
    }

    /// Reports it no longer. Closing is not enough: until its exec, a new child holds a copy of it.
    pub fn remove(&self, pipe: impl AsFd) -> Result<(), Errno> {
        self.0.delete(pipe)
    }

    /// The keys of pipes that are ready now. Never waits.
    pub fn ready(&self) -> impl Iterator<Item = u64> + use<> {
        let mut events = [EpollEvent::empty(); READY];
        // A failure would be one of memory; the next look will tell.
        let count = self.0.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        events.into_iter().take(count).map(|event| event.data())
    }
}

impl AsRawFd for PipePoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl AsFd for PipePoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// A listening socket in the file system, non-blocking, with mode 0600 from its first instant, whatever the umask.
pub fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    use nix::sys::stat::{Mode, fchmod};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // Linux makes the file with the mode of the socket less the umask, which may only take more away.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(fd.as_raw_fd(), &address)?;
    listen(&fd, Backlog::new(511)?)?;
    Ok(fd.into())
}

/// Whether somebody listens at a socket's path. Never waits.
pub fn is_listened_to(path: &Path) -> io::Result<bool> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        // A full queue is somebody's queue.
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// How many ticks of the kernel's accounting make a second.
pub fn clock_ticks() -> f64 {
    // SAFETY: touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

/// How many bytes a page of memory has.
pub fn page_size() -> u64 {
    // SAFETY: touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// What the kernel takes of an exec's arguments and environment; more is E2BIG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecLimits {
    /// The first length of a string, without its NUL, that it does not take.
    pub string: usize,
    /// What all strings, their NULs and the pointers to them may take.
    pub all: usize,
}

/// The pages that one string may have (`MAX_ARG_STRLEN`).
const PAGES_OF_A_STRING: usize = 32;
/// What all of them have at least, and at most whatever the limit of the stack, of which they have a quarter.
const ALL_STRINGS: std::ops::RangeInclusive<usize> = 128 * 1024..=6 * 1024 * 1024;

/// Those of our children, which have our limit of the stack.
pub fn exec_limits() -> ExecLimits {
    let mut stack = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `stack` outlives the call. If it fails, the least is taken.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut stack) };
    let quarter = usize::try_from(stack.rlim_cur / 4).unwrap_or(usize::MAX);
    let page = usize::try_from(page_size()).unwrap_or(PAGE);
    ExecLimits { string: PAGES_OF_A_STRING * page, all: quarter.clamp(*ALL_STRINGS.start(), *ALL_STRINGS.end()) }
}

/// Whether there is something to read, or to accept. Never waits.
pub fn is_readable(of: &impl AsFd) -> io::Result<bool> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(of.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// The next client of a non-blocking socket; it is non-blocking, too.
pub fn accept_unix(listener: &std::os::unix::net::UnixListener) -> io::Result<std::os::unix::net::UnixStream> {
    use nix::sys::socket::{SockFlag, accept4};
    use std::os::fd::FromRawFd;
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// A listening socket as something that the event loop can wait for.
pub fn watch_listener(
    listener: std::os::unix::net::UnixListener,
) -> io::Result<AsyncFd<std::os::unix::net::UnixListener>> {
    // SAFETY: the listener owns its descriptor and gives it to nobody, so it stays open and the same while registered.
    Ok(unsafe { AsyncFd::register_with_interest(listener, tokio::io::Interest::READABLE) }?)
}

/// A client as something that the event loop can wait for.
pub fn watch_stream(stream: std::os::unix::net::UnixStream) -> io::Result<AsyncFd<std::os::unix::net::UnixStream>> {
    let interest = tokio::io::Interest::READABLE | tokio::io::Interest::WRITABLE;
    // SAFETY: the stream owns its descriptor and gives it to nobody, so it stays open and the same while registered.
    Ok(unsafe { AsyncFd::register_with_interest(stream, interest) }?)
}

/// Has the kernel notice within half a minute that the other side of an idle connection is gone.
pub fn keep_alive(socket: &impl AsFd) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &10)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &5)?;
    setsockopt(socket, sockopt::TcpKeepCount, &3)?;
    Ok(())
}

/// Who we are.
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The number of a signal by its name, with or without `SIG`, or by its number.
pub fn signal_number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=libc::SIGRTMAX()).contains(&number).then_some(number);
    }
    let word = name.to_ascii_uppercase();
    let full = if word.starts_with("SIG") { word } else { format!("SIG{word}") };
    full.parse::<Signal>().ok().map(|signal| signal as i32)
}

/// What this machine calls itself; empty if nothing.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The addresses of all interfaces with their labels, as the kernel lists them: by interface, IPv4 before IPv6.
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let mut addresses = Vec::new();
    for found in nix::ifaddrs::getifaddrs()? {
        let Some(address) = &found.address else { continue };
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let address = v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())));
        addresses.extend(address.map(|address| (found.interface_name, address)));
    }
    Ok(addresses)
}
