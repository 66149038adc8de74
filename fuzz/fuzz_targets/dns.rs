//! Answers of name servers, and the files that name them.
#![no_main]

use containerpilot_actors::fuzzing::{dns_files, dns_reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dns_reply(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let (hosts, host) = text.split_once('\0').unwrap_or((text, "consul"));
        dns_files(hosts, host);
    }
});
