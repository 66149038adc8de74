//! Unix signals in, messages out. Which signal means what is decided here and nowhere else.

use actix::prelude::*;
use slog::{Logger, error};

use crate::event::{Event, SignalSource};
use crate::guard::PanicGuard;
use crate::messages::{BusCommand, ReaperCommand, SupervisorCommand};
use crate::output::Pump;
use crate::spec::SignalSpec;
use crate::sys::{self, SignalFd, UnixSignal};

/// Whom signals concern.
#[derive(Debug)]
pub struct SignalNeighbours {
    /// SIGTERM, SIGINT, SIGQUIT, and those that mean a command.
    pub supervisor: Recipient<SupervisorCommand>,
    /// SIGHUP, SIGUSR2.
    pub bus: Recipient<BusCommand>,
    /// SIGCHLD.
    pub reaper: Recipient<ReaperCommand>,
    /// SIGUSR1: the log file is reopened.
    pub pump: Pump,
}

/// See the module.
#[derive(Debug)]
pub struct SignalHandler {
    signals: Option<SignalFd>,
    spec: SignalSpec,
    neighbours: SignalNeighbours,
    log: Logger,
    _guard: Option<PanicGuard>,
}

impl SignalHandler {
    /// Reads signals from here, which `sys::signal_fd` made.
    pub fn new(
        signals: SignalFd,
        spec: SignalSpec,
        neighbours: SignalNeighbours,
        log: Logger,
        guard: Option<PanicGuard>,
    ) -> Self {
        Self { signals: Some(signals), spec, neighbours, log, _guard: guard }
    }
}

impl Actor for SignalHandler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(signals) = self.signals.take() else { return };
        let signals = match sys::watch_signals(signals) {
            Ok(signals) => signals,
            Err(cause) => {
                error!(self.log, "cannot listen to signals"; "error" => %cause);
                self.neighbours.supervisor.do_send(SupervisorCommand::ShutDown { signal: "none can be heard" });
                return;
            }
        };
        let address = ctx.address();
        actix::spawn(async move {
            while let Ok(mut ready) = signals.readable().await {
                while let Some(signal) = sys::read_signal(signals.get_ref()) {
                    address.do_send(SignalReceived(signal));
                }
                ready.clear_ready();
            }
        });
    }
}

/// What signals mean from now on. Whether all are passed on stays as it was.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SignalsMean(pub SignalSpec);

impl Handler<SignalsMean> for SignalHandler {
    type Result = ();

    fn handle(&mut self, msg: SignalsMean, _ctx: &mut Self::Context) {
        self.spec = SignalSpec { passed_on: self.spec.passed_on, ..msg.0 };
    }
}

/// A signal came, by its number.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignalReceived(pub i32);

impl Handler<SignalReceived> for SignalHandler {
    type Result = ();

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other signals of the system mean nothing to us")]
    fn handle(&mut self, msg: SignalReceived, _ctx: &mut Self::Context) {
        let SignalNeighbours { supervisor, bus, reaper, pump } = &self.neighbours;
        let publish = |signal| bus.do_send(BusCommand::Publish(Event::signal(signal)));
        let signal = UnixSignal::try_from(msg.0);
        if signal == Ok(UnixSignal::SIGCHLD) {
            reaper.do_send(ReaperCommand::Reap);
            return;
        }
        if self.spec.passed_on {
            supervisor.do_send(SupervisorCommand::PassOn(msg.0));
            return;
        }
        if msg.0 == sys::ORDERLY_STOP {
            supervisor.do_send(SupervisorCommand::ShutDown { signal: "SIGRTMIN+3" });
            return;
        }
        let Ok(signal) = signal else { return };
        match signal {
            UnixSignal::SIGTERM | UnixSignal::SIGINT | UnixSignal::SIGQUIT => {
                supervisor.do_send(SupervisorCommand::ShutDown { signal: signal.as_str() });
            }
            UnixSignal::SIGHUP if self.spec.hup_reloads => supervisor.do_send(SupervisorCommand::Reload),
            UnixSignal::SIGHUP => publish(SignalSource::Hup),
            UnixSignal::SIGUSR2 => publish(SignalSource::Usr2),
            UnixSignal::SIGUSR1 if self.spec.usr1_maintains => supervisor.do_send(SupervisorCommand::ToggleMaintenance),
            UnixSignal::SIGUSR1 => pump.reopen(),
            _ => {}
        }
    }
}
