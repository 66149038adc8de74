//! No runtime, no clock, no processes: what a look finds is said by name.

use super::*;
use crate::random::Random;
use crate::testing::{millis, secs};

fn process(pid: i32) -> Process {
    Process { pid, started: 0 }
}

fn group(pids: &[i32]) -> Left {
    Left { group: pids.iter().copied().map(process).collect(), escapees: Vec::new() }
}

fn escaped(pids: &[i32]) -> Left {
    Left { group: Vec::new(), escapees: pids.iter().copied().map(process).collect() }
}

fn terminate(pids: &[i32]) -> Vec<Action> {
    vec![Action::Terminate(pids.iter().copied().map(process).collect())]
}

fn kill(pids: &[i32]) -> Vec<Action> {
    vec![Action::Kill(pids.iter().copied().map(process).collect())]
}

const GONE: [Action; 1] = [Action::Gone { survivors: Vec::new() }];
const W: Grace = Grace::Term(secs(4));

#[expect(clippy::disallowed_methods, reason = "any instant does; it is only added to")]
fn t0() -> Instant {
    Instant::now()
}

#[test]
fn a_remainder_of_a_leader_that_ended_by_itself_gets_its_term_then_and_the_whole_grace() {
    let t0 = t0();
    let mut remainder = Remainder::new(None, t0);
    assert_eq!(remainder.end(W, &group(&[2, 3]), t0), terminate(&[2, 3]));
    assert_eq!(remainder.looked(&group(&[3]), t0 + millis(3999)), []);
    assert_eq!(remainder.looked(&group(&[3]), t0 + secs(4)), kill(&[3]));
    assert_eq!(remainder.looked(&group(&[]), t0 + secs(4)), GONE);
}

#[test]
fn those_that_the_stop_has_reached_get_no_second_term_and_those_forked_since_get_theirs() {
    let t0 = t0();
    let asked = Some((t0, BTreeSet::from([process(2)])));
    let mut remainder = Remainder::new(asked, t0 + millis(5));
    assert_eq!(remainder.end(W, &group(&[2, 3]), t0 + millis(5)), terminate(&[3]));
    assert_eq!(remainder.looked(&group(&[2, 3]), t0 + millis(3999)), []);
    assert_eq!(remainder.looked(&group(&[2, 3]), t0 + secs(4)), kill(&[2, 3]));
}

#[test]
fn a_leader_that_ends_late_leaves_its_remainder_a_second() {
    let t0 = t0();
    let mut remainder = Remainder::new(Some((t0, BTreeSet::from([process(2)]))), t0 + millis(3900));
    assert_eq!(remainder.end(W, &group(&[2]), t0 + millis(3900)), []);
    assert_eq!(remainder.looked(&group(&[2]), t0 + millis(4899)), []);
    assert_eq!(remainder.looked(&group(&[2]), t0 + millis(4900)), kill(&[2]));
}

#[test]
fn a_helper_of_a_clean_end_is_asked_only_when_it_is_alone() {
    let t0 = t0();
    let mut remainder = Remainder::new(None, t0);
    assert_eq!(remainder.end(W, &group(&[2]), t0), terminate(&[2]));
    assert_eq!(remainder.looked(&group(&[2, 9]), t0 + secs(1)), []);
    assert_eq!(remainder.looked(&group(&[9]), t0 + secs(2)), terminate(&[9]));
    assert_eq!(remainder.looked(&group(&[9]), t0 + secs(4)), kill(&[9]), "the deadline stays");
}

#[test]
fn a_helper_that_one_with_its_term_has_started_since_is_let_be_while_that_one_lives() {
    let t0 = t0();
    let mut remainder = Remainder::new(Some((t0, BTreeSet::from([process(2)]))), t0);
    remainder.helped_by(BTreeSet::from([process(3)]));
    assert_eq!(remainder.end(W, &group(&[2, 3, 4]), t0), terminate(&[4]), "the leader has started that one");
    assert_eq!(remainder.looked(&group(&[2, 3]), t0 + secs(1)), []);
    assert_eq!(remainder.looked(&group(&[3]), t0 + secs(2)), terminate(&[3]));
    assert_eq!(remainder.looked(&group(&[3]), t0 + secs(4)), kill(&[3]));
}

#[test]
fn escapees_are_asked_once_leader_and_group_have_ended() {
    let t0 = t0();
    let mut remainder = Remainder::new(Some((t0, BTreeSet::from([process(2)]))), t0);
    let both = Left { group: vec![process(2)], escapees: vec![process(7)] };
    assert_eq!(remainder.end(W, &both, t0), []);
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + millis(3500)), terminate(&[7]));
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + millis(4499)), []);
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + millis(4500)), kill(&[7]), "one second at least");
}

#[test]
fn escapees_of_a_group_that_had_to_be_killed_are_asked_all_the_same() {
    let t0 = t0();
    let mut remainder = Remainder::new(Some((t0, BTreeSet::from([process(2)]))), t0);
    let both = Left { group: vec![process(2)], escapees: vec![process(7)] };
    remainder.end(W, &both, t0);
    assert_eq!(remainder.looked(&both, t0 + secs(4)), kill(&[2]));
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + secs(4)), terminate(&[7]));
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + secs(5)), kill(&[7]));
    let survivors = vec![process(7)];
    assert_eq!(remainder.looked(&escaped(&[7]), t0 + secs(6)), [Action::Gone { survivors }]);
}

#[test]
fn what_survives_its_kill_counts_as_gone_after_a_second() {
    let t0 = t0();
    let mut remainder = Remainder::new(None, t0);
    assert_eq!(remainder.end(Grace::KillAtOnce, &group(&[2]), t0), kill(&[2]));
    assert_eq!(remainder.looked(&group(&[2, 3]), t0 + millis(999)), kill(&[2, 3]), "one may have been forked");
    let survivors = vec![process(2)];
    assert_eq!(remainder.looked(&group(&[2]), t0 + secs(1)), [Action::Gone { survivors }]);
    assert_eq!(remainder.looked(&group(&[2]), t0 + secs(2)), []);
}

#[test]
fn one_that_may_go_on_is_let_be_until_it_is_to_end() {
    let t0 = t0();
    let mut remainder = Remainder::new(None, t0);
    assert_eq!(remainder.looked(&group(&[2]), t0 + secs(1000)), []);
    assert!(!remainder.is_ending());
    assert_eq!(remainder.end(W, &group(&[2]), t0 + secs(1000)), terminate(&[2]));
    assert_eq!(remainder.end(W, &group(&[2]), t0 + secs(1001)), [], "it ends already");
    assert_eq!(remainder.looked(&group(&[2]), t0 + millis(1_003_999)), []);
}

/// One process of a random history.
#[derive(Clone, Copy)]
struct Simulated {
    process: Process,
    escaped: bool,
    terms: u32,
    killed: bool,
    ignores_term: bool,
    unkillable: bool,
}

/// Processes that fork, end, and ignore what they like: nobody gets two TERMs, a TERM comes before every KILL, and all is over
/// within the grace, a second for escapees, and one for each KILL.
#[test]
fn random_histories_keep_the_promises() {
    for seed in 0..3000 {
        let mut random = Random::from_seed(seed);
        let mut chance = |of| random.below(of) == 0;
        let t0 = t0();
        let mut pid = 1;
        let mut fork = |escaped, ignores_term, unkillable| {
            pid += 1;
            Simulated { process: process(pid), escaped, terms: 0, killed: false, ignores_term, unkillable }
        };
        let mut alive: Vec<Simulated> = (0..4).map(|_| fork(chance(3), chance(2), chance(8))).collect();
        let asked_before = chance(2);
        let mut reached = BTreeSet::new();
        if asked_before {
            for one in alive.iter_mut().filter(|one| !one.escaped) {
                one.terms += 1;
                reached.insert(one.process);
            }
        } else {
            alive.retain(|one| !one.escaped);
        }
        let ended_at = t0 + millis(if asked_before { 700 } else { 0 });
        let mut remainder = Remainder::new(asked_before.then_some((t0, reached)), ended_at);
        let mut now = ended_at;
        let mut over = false;
        let mut begun = false;
        while !over {
            assert!(now <= ended_at + secs(4) + secs(4), "seed {seed}: it takes too long");
            let of = |escaped: bool| {
                alive.iter().filter(|one| one.escaped == escaped).map(|one| one.process).collect::<Vec<_>>()
            };
            let left = Left { group: of(false), escapees: of(true) };
            let actions = if begun { remainder.looked(&left, now) } else { remainder.end(W, &left, now) };
            begun = true;
            for action in actions {
                match action {
                    Action::Terminate(processes) => {
                        for one in alive.iter_mut().filter(|one| processes.contains(&one.process)) {
                            one.terms += 1;
                            assert_eq!(one.terms, 1, "seed {seed}: a second TERM");
                            assert!(!one.killed, "seed {seed}: a TERM after the KILL");
                        }
                    }
                    Action::Kill(processes) => {
                        assert!(now >= t0 + secs(4), "seed {seed}: a KILL before the grace is over");
                        for one in alive.iter_mut().filter(|one| processes.contains(&one.process)) {
                            one.killed = true;
                        }
                    }
                    Action::Gone { survivors } => {
                        over = true;
                        let unkillable = |process: &Process| {
                            alive.iter().any(|one| one.process == *process && (one.unkillable && one.killed))
                        };
                        assert!(survivors.iter().all(unkillable), "seed {seed}: given up too soon");
                        assert_eq!(survivors.len(), alive.len(), "seed {seed}: something is forgotten");
                    }
                }
            }
            now += millis(100);
            alive.retain(|one| {
                let dies = (one.killed && !one.unkillable) || (one.terms > 0 && !one.ignores_term && chance(4));
                !dies
            });
            if !alive.is_empty() && chance(10) && alive.iter().any(|one| !one.escaped && !one.killed) {
                alive.push(fork(false, chance(2), false));
            }
        }
    }
}
