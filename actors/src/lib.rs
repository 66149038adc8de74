//! The runtime of ContainerPilot.
