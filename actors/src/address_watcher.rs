//! Notices that this machine's addresses change: a container is attached to another network, or gets a new lease.
//!
//! The kernel is asked for its list every few seconds, and only while there are services whose address may change.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, debug, info};

use crate::addresses::{InterfaceAddress, interface_addresses};
use crate::event::JobName;
use crate::guard::PanicGuard;
use crate::messages::AddressChanged;
use crate::spec::ServiceSpec;

const PACE: Duration = Duration::from_secs(3);

/// Which of these addresses the interface specs of a service pick, if any. The grammar is the config's.
pub type PickAddress = fn(&[String], &[InterfaceAddress]) -> Option<IpAddr>;

#[derive(Debug)]
struct Watched {
    interfaces: Vec<String>,
    address: IpAddr,
}

/// See the module.
#[derive(Debug)]
pub struct AddressWatcher {
    pick: PickAddress,
    services: HashMap<JobName, Watched>,
    /// As the kernel listed them last.
    seen: Vec<InterfaceAddress>,
    tell: Recipient<AddressChanged>,
    timer: Option<SpawnHandle>,
    log: Logger,
    _guard: Option<PanicGuard>,
}

/// From now on these are the services.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WatchAddresses(pub Vec<ServiceSpec>);

impl AddressWatcher {
    /// Without services.
    pub fn new(pick: PickAddress, tell: Recipient<AddressChanged>, log: &Logger, guard: Option<PanicGuard>) -> Self {
        Self { pick, services: HashMap::new(), seen: Vec::new(), tell, timer: None, log: log.clone(), _guard: guard }
    }

    fn look(&mut self) {
        match interface_addresses() {
            Ok(addresses) => self.saw(addresses),
            Err(cause) => debug!(self.log, "cannot list the addresses of the interfaces"; "reason" => %cause),
        }
    }

    fn saw(&mut self, addresses: Vec<InterfaceAddress>) {
        if addresses == self.seen {
            return;
        }
        for (name, service) in &mut self.services {
            // While nothing matches, the last address is the best guess.
            let Some(address) = (self.pick)(&service.interfaces, &addresses) else { continue };
            if address == service.address {
                continue;
            }
            info!(self.log, "the address has changed"; "job" => %name, "from" => %service.address, "to" => %address);
            service.address = address;
            self.tell.do_send(AddressChanged(name.clone(), address));
        }
        self.seen = addresses;
    }
}

impl Actor for AddressWatcher {
    type Context = Context<Self>;
}

impl Handler<WatchAddresses> for AddressWatcher {
    type Result = ();

    fn handle(&mut self, msg: WatchAddresses, ctx: &mut Self::Context) {
        self.seen = Vec::new();
        let changing = msg.0.into_iter().filter(|service| {
            service.interfaces.is_empty() || !service.interfaces.iter().all(|spec| spec.starts_with("static:"))
        });
        self.services = changing
            .map(|spec| (JobName::new(spec.name), Watched { interfaces: spec.interfaces, address: spec.address }))
            .collect();
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        if !self.services.is_empty() {
            self.timer = Some(ctx.run_interval(PACE, |actor, _| actor.look()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{millis, probe, service};

    fn first_on_eth1(_specs: &[String], addresses: &[InterfaceAddress]) -> Option<IpAddr> {
        addresses.iter().find(|candidate| candidate.interface == "eth1").map(|candidate| candidate.address)
    }

    fn on(interface: &str, last: u8) -> InterfaceAddress {
        InterfaceAddress { interface: interface.to_owned(), address: [10, 0, 0, last].into() }
    }

    #[actix::test]
    async fn a_change_is_told_once() {
        let (tell, mut told) = probe();
        let log = Logger::root(slog::Discard, slog::o!());
        let mut watcher = AddressWatcher::new(first_on_eth1, tell, &log, None);
        let spec = service("my-web");
        let watched = Watched { interfaces: spec.interfaces, address: spec.address };
        watcher.services.insert(JobName::new("my-web"), watched);
        for addresses in [vec![on("eth0", 1)], vec![on("eth0", 1), on("eth1", 7)], vec![on("eth1", 7)], vec![]] {
            watcher.saw(addresses);
        }
        let AddressChanged(name, address) = told.next(millis(500)).await;
        assert_eq!((name.as_str(), address), ("my-web", IpAddr::from([10, 0, 0, 7])));
        assert!(told.is_empty());
    }
}
