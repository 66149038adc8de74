//! ContainerPilot: PID 1 for containers.

mod template;

fn main() {}
