//! Answers of etcd, of both APIs.
#![no_main]

use containerpilot_actors::fuzzing::etcd_reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((status, body)) = data.split_first() else { return };
    let status = [200, 400, 401, 404, 412, 503][usize::from(*status) % 6];
    etcd_reply(status, body);
});
