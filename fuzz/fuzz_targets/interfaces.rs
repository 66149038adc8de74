//! Interface specs, picked from the addresses of a machine.
#![no_main]

use containerpilot_fuzz::{config, host};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let host = host();
    let specs: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Some(address) = config::pick_address(&specs, &host.addresses) {
        let is_ours = host.addresses.iter().any(|ours| ours.address == address);
        assert!(is_ours || specs.iter().any(|spec| spec.starts_with("static:")), "{address}");
    }
});
