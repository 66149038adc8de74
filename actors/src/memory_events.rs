//! How often the kernel has killed a process of our cgroup for want of memory, as the cgroup itself counts it.
//!
//! Not here: what becomes of a job whose process was killed so. It has ended by a SIGKILL like any other.

use std::path::{Path, PathBuf};

/// Where cgroups are.
const ROOT: &str = "/sys/fs/cgroup";

/// The count of a cgroup, and how much of it is accounted for.
#[derive(Debug, Default)]
pub struct OutOfMemory {
    /// `memory.events`, or `memory.oom_control` of version 1.
    file: Option<PathBuf>,
    seen: u64,
}

impl OutOfMemory {
    /// Of our own cgroup, from now on. Without cgroups nothing is ever known.
    pub fn of_ours() -> Self {
        let ours = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let file = files(&ours).into_iter().find(|file| count(file).is_some());
        let seen = file.as_deref().and_then(count).unwrap_or(0);
        Self { file, seen }
    }

    /// A process has ended by a SIGKILL that is not ours. Returns whether the kernel sent it for want of memory.
    pub fn has_killed(&mut self) -> bool {
        let now = self.file.as_deref().and_then(count).unwrap_or(0);
        let is_new = now > self.seen;
        self.seen += u64::from(is_new);
        is_new
    }

    /// Whatever was killed so far is not to be taken for a later end.
    pub fn forget(&mut self) {
        if let Some(count) = self.file.as_deref().and_then(count) {
            self.seen = count;
        }
    }
}

/// Where the count may be, given `/proc/self/cgroup`: in a container our own cgroup may be mounted as the root.
fn files(ours: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in ours.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        let (root, name) = match controllers {
            "" => (PathBuf::from(ROOT), "memory.events"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (Path::new(ROOT).join("memory"), "memory.oom_control")
            }
            _ => continue,
        };
        files.extend([root.join(path).join(name), root.join(name)]);
    }
    files
}

fn count(file: &Path) -> Option<u64> {
    parse(&std::fs::read_to_string(file).ok()?)
}

fn parse(events: &str) -> Option<u64> {
    events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_understood() {
        let two = files("0::/system.slice/app\n");
        let at = |path: &str| PathBuf::from(ROOT).join(path);
        assert_eq!(two, [at("system.slice/app/memory.events"), at("memory.events")]);
        let one = files("9:pids:/x\n4:cpu,memory:/docker/7\nnonsense\n");
        assert_eq!(one, [at("memory/docker/7/memory.oom_control"), at("memory/memory.oom_control")]);
        assert_eq!(parse("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 9\n"), Some(2));
        assert_eq!(parse("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
        assert_eq!(parse("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    #[test]
    fn each_kill_is_accounted_for_once() {
        let file = std::env::temp_dir().join(format!("containerpilot-events-{}", std::process::id()));
        let write = |count: u64| std::fs::write(&file, format!("oom 9\noom_kill {count}\n")).unwrap();
        write(3);
        let mut events = OutOfMemory { file: Some(file.clone()), seen: 3 };
        assert!(!events.has_killed());
        write(5);
        assert_eq!([events.has_killed(), events.has_killed(), events.has_killed()], [true, true, false]);
        write(6);
        events.forget();
        assert!(!events.has_killed());
        std::fs::remove_file(&file).unwrap();
        assert!(!events.has_killed(), "a cgroup that is gone kills nothing");
    }
}
