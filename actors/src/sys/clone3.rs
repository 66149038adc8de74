//! Keeps the C library from the system call `clone3`, so that threads and processes can be had wherever there is `clone`.
//!
//! Docker before 20.10.10, and other sandboxes of its age, answer EPERM to system calls that they do not know. The C library takes that for
//! the last word; only after ENOSYS does it use `clone`, which can do all that we need. A symbol of ours keeps the library's from being
//! linked, so that there is one way, which every test takes.
#![cfg(all(target_env = "gnu", target_feature = "crt-static"))]

use std::ffi::{c_int, c_void};

// SAFETY: it has the type of the C library's, which may fail, and says so in the way that an old kernel does. It touches no argument.
#[unsafe(no_mangle)]
extern "C" fn __clone3(
    _arguments: *mut c_void,
    _size: usize,
    _start: Option<extern "C" fn(*mut c_void) -> c_int>,
    _argument: *mut c_void,
) -> c_int {
    // SAFETY: the location of this thread's errno is valid for as long as the thread is.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use crate::sys::{Errno, Streams, reap, spawn};

    /// Has this thread, and whatever it starts, get EPERM from `clone3`, as Docker before 20.10.10 does.
    fn forbid_clone3() {
        let statement = |code: u32, k: u32, on_other: u8| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt: 0,
            jf: on_other,
            k,
        };
        let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
        let mut program = [
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::try_from(libc::SYS_clone3).unwrap(), 1),
            statement(libc::BPF_RET | libc::BPF_K, refuse, 0),
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
        ];
        let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
        // SAFETY: the program outlives the calls, which concern this thread only.
        let results = unsafe {
            [
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter),
            ]
        };
        assert_eq!(results, [0, 0], "{}", Errno::last());
    }

    #[actix::test]
    async fn threads_and_processes_are_to_be_had_where_clone3_is_forbidden() {
        let _alone = crate::testing::one_at_a_time().await;
        let started = std::thread::spawn(|| {
            forbid_clone3();
            // SAFETY: without arguments it starts nothing.
            let direct = unsafe { libc::syscall(libc::SYS_clone3, 0, 0) };
            assert_eq!((direct, Errno::last()), (-1, Errno::EPERM));
            let streams = Streams { stdin: None, stdout: None, stderr: None };
            let pid = spawn::<&CStr, &CStr>(c"/bin/true", &[c"true"], &[], &streams);
            (std::thread::Builder::new().spawn(|| 7).unwrap().join().unwrap(), pid)
        });
        let (seven, pid) = started.join().unwrap();
        assert_eq!(seven, 7);
        reap(pid.unwrap());
    }
}
