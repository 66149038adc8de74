//! What others have written into nodes of ZooKeeper (and keys of etcd): an instance, or an error.
#![no_main]

use containerpilot_actors::fuzzing::instance;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    if let Some(text) = instance(value) {
        // It becomes an entry of a list in a variable.
        assert!(!text.contains([',', ' ', '\0', '\n']), "{text:?}");
    }
});
