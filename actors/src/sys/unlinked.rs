//! Parts of the C library that do nothing for us, and that would be linked for calls that nobody makes or misses. A symbol of ours keeps the
//! library's from being linked, and with it all that only it needs: the resolver, message catalogs, `sscanf`, wide `printf`. That is a tenth
//! of a megabyte and more, most of it for finding out where a stack begins.
#![cfg(all(target_env = "gnu", target_feature = "crt-static"))]

use std::ffi::{c_char, c_int, c_void};

// The resolver has no place in a static binary: it would load modules of whatever C library the container has. Names are looked up by
// `catalog::client::dns`; this is what anybody else's look-up finds.
//
// SAFETY: it has the type and, but for its answer, the contract of the C library's.
#[unsafe(no_mangle)]
extern "C" fn getaddrinfo(
    _node: *const c_char,
    _service: *const c_char,
    _hints: *const libc::addrinfo,
    _found: *mut *mut libc::addrinfo,
) -> c_int {
    libc::EAI_FAIL
}

// SAFETY: nobody has got anything that would have to be freed.
#[unsafe(no_mangle)]
extern "C" fn freeaddrinfo(_found: *mut libc::addrinfo) {}

// std asks where a thread's stack ends, to tell an overflow from another SIGSEGV. Either is the end; only that remark is lost.
//
// SAFETY: it may fail, and says so.
#[unsafe(no_mangle)]
extern "C" fn pthread_getattr_np(_thread: libc::pthread_t, _attributes: *mut libc::pthread_attr_t) -> c_int {
    libc::ENOSYS
}

// Errors are described in English: a static binary finds no translations.
//
// SAFETY: without a translation the C library's returns the message, too.
#[unsafe(no_mangle)]
extern "C" fn dcgettext(_domain: *const c_char, message: *const c_char, _category: c_int) -> *const c_char {
    message
}

// SAFETY: as above; it is the name by which the C library calls it itself.
#[unsafe(no_mangle)]
extern "C" fn __dcgettext(domain: *const c_char, message: *const c_char, category: c_int) -> *const c_char {
    dcgettext(domain, message, category)
}

// What the C library says to its own stderr, wide or not: before `abort`, and there is a core then.
//
// SAFETY: it is variadic there, and the arguments that it does not look at are the caller's to take away.
#[unsafe(no_mangle)]
extern "C" fn __fxprintf(_stream: *mut c_void, _format: *const c_char) -> c_int {
    -1
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_looks_names_up_elsewhere_finds_nothing() {
        use std::net::ToSocketAddrs as _;
        assert!(("localhost", 80).to_socket_addrs().is_err());
    }

    #[test]
    fn errors_are_described_all_the_same() {
        assert_eq!(
            std::io::Error::from_raw_os_error(libc::ENOENT).to_string(),
            "No such file or directory (os error 2)"
        );
    }
}
