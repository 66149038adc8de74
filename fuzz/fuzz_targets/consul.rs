//! Answers of Consul: the same in pieces of any size.
#![no_main]

use containerpilot_actors::fuzzing::{consul_instances, consul_service};
use containerpilot_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((whole, pieces)) = pieces(data) else { return };
    assert_eq!(consul_instances(pieces), consul_instances(std::iter::once(whole)));
    consul_service(whole);
});
