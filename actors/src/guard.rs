//! Tells the supervisor when a panic ends an actor: actix would let it vanish in silence.

use actix::Recipient;

use crate::messages::{ActorId, ActorPanicked};

/// Owned by an actor; speaks when it is dropped by a panic.
pub struct PanicGuard {
    id: ActorId,
    supervisor: Recipient<ActorPanicked>,
}

impl PanicGuard {
    /// Guards the actor that will own it.
    pub fn new(id: ActorId, supervisor: Recipient<ActorPanicked>) -> Self {
        Self { id, supervisor }
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.supervisor.do_send(ActorPanicked(self.id.clone()));
        }
    }
}

impl std::fmt::Debug for PanicGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PanicGuard").field(&self.id).finish()
    }
}
