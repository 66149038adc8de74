//! Whoever reads the log of a container understands it: real ones, behind a real Docker.
#![expect(clippy::disallowed_methods, reason = "a test waits for its own children, for as long as it takes")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::pilot::{Folder, until};

/// The log of a container in which jobs write whatever there is, as `docker logs` has it, once and through `jq`.
const JQ: &str = r#"
docker run --name once --network none pilot /containerpilot -config /app.json5 > attached 2> stderr
docker logs once > log 2>> stderr
cmp attached log
jq -r 'select(.log | endswith("\n") | not) | .log' "$(docker inspect -f '{{.LogPath}}' once)" > split
docker logs once | jq -c 'select(.pid) | [.job, .level, .stream, .data.a[1], .partial_ordinal, (.msg // "" | length)]' > jq
docker logs once | jq -r 'select(.job == "bytes" and .pid) | .msg | @json' > messages
docker logs once | jq -j 'select(.pid and .job == "long") | .msg' > whole
"#;

/// The same through Docker's own syslog driver to rsyslog.
const RSYSLOG: &str = r#"
docker run --network none --log-driver syslog --log-opt syslog-address="unixgram://$PWD/socket" pilot /containerpilot -config /short.json5
"#;

/// Makes an image of the binary, BusyBox and these configs.
const IMAGE: &str = "set -euo pipefail; tar -C image -c . | docker import - pilot > /dev/null\n";

fn image(folder: &Path, configs: &[(&str, &str)]) {
    let root = folder.join("image");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    let busybox = "/usr/bin/busybox";
    std::fs::copy(busybox, root.join("bin/busybox")).expect("Debian's static BusyBox (scripts/install-test-tools)");
    for applet in ["sh", "printf", "echo", "head", "tr"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    std::fs::copy(env!("CARGO_BIN_EXE_containerpilot"), root.join("containerpilot")).unwrap();
    for (name, text) in configs {
        std::fs::write(root.join(name), text).unwrap();
    }
}

/// Runs a script beside a Docker engine of its own, in this folder.
fn with_docker(folder: &Path, script: &str) {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/with-docker"))
        .args(["bash", "-c", &format!("{IMAGE}{script}")])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "this test needs Docker (scripts/install-test-tools) and root:\n{}{}{}",
        String::from_utf8_lossy(&output.stderr),
        read(folder, "stderr"),
        read(folder, "log")
    );
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read(folder.join(name)).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

#[test]
fn jq_reads_every_record_of_a_container() {
    let folder = Folder::new();
    let config = r#"{
        // Docker splits what is longer than 16 KiB.
        logging: { format: 'json', maxLine: '16k' },
        jobs: [
            { name: 'bytes', exec: ['sh', '-c', 'printf "nul[\\\\000] bad[\\\\377] \\\\033[31mred\\\\033[0m\\\\r\\\\n\\\\nno newline" >&2'] },
            { name: 'object', exec: ['echo', '{"a":[1,2],"level":"warn"}'], logging: { json: true } },
            { name: 'long', exec: ['sh', '-c', 'head -c 40000 /dev/zero | tr "\\\\000" q'] },
            { name: 'quotes', exec: ['sh', '-c', 'head -c 15300 /dev/zero | tr "\\\\000" "\\\\042"'] },
        ],
    }"#;
    image(&folder.0, &[("app.json5", config)]);
    with_docker(&folder.0, JQ);
    let jq = read(&folder.0, "jq");
    let of = |job: &str| jq.lines().filter(|line| line.contains(job)).collect::<Vec<_>>().join("\n");
    assert_eq!(
        of("bytes"),
        "[\"bytes\",\"info\",\"stderr\",null,null,26]\n[\"bytes\",\"info\",\"stderr\",null,null,0]\n\
         [\"bytes\",\"info\",\"stderr\",null,null,10]"
    );
    assert_eq!(of("object"), "[\"object\",\"warning\",\"stdout\",2,null,0]");
    for (job, count) in [("long", 3), ("quotes", 2)] {
        let ordinals: Vec<String> = of(job).lines().map(|line| line.split(',').nth(4).unwrap().to_owned()).collect();
        assert_eq!(ordinals, (1..=count).map(|ordinal| ordinal.to_string()).collect::<Vec<_>>(), "{job}");
    }
    assert_eq!(read(&folder.0, "split"), "", "Docker has to split nothing");
    assert_eq!(
        read(&folder.0, "messages"),
        "\"nul[\\u0000] bad[\u{fffd}] \\u001b[31mred\\u001b[0m\"\n\"\"\n\"no newline\"\n"
    );
    assert!(read(&folder.0, "whole") == "q".repeat(40_000));
}

/// Gone with its test.
struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// mmjsonparse wants the cookie `@cee:` unless told otherwise.
#[test]
fn rsyslog_takes_the_fields_of_a_container() {
    let folder = Folder::new();
    let config = format!(
        "global(workDirectory=\"{folder}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\nmodule(load=\"mmjsonparse\")\n\
         template(name=\"fields\" type=\"string\" string=\"%$!job% %$!level% %$!stream% %$!data!user% %$!msg%\\n\")\n\
         input(type=\"imuxsock\" Socket=\"{folder}/socket\" ruleset=\"cp\" RateLimit.Interval=\"0\")\n\
         ruleset(name=\"cp\") {{ action(type=\"mmjsonparse\" cookie=\"\")\n\
         if $!pid != \"\" then action(type=\"omfile\" file=\"{folder}/out\" template=\"fields\") }}\n",
        folder = folder.0.display()
    );
    std::fs::write(folder.0.join("rsyslog.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/rsyslogd");
    command.args(["-n", "-f"]).arg(folder.0.join("rsyslog.conf")).arg("-i").arg(folder.0.join("pid"));
    let _rsyslog =
        Rsyslog(command.stdin(Stdio::null()).spawn().expect("Debian's rsyslog (scripts/install-test-tools)"));
    until(|| folder.0.join("socket").exists());
    let config = r#"{
        logging: { format: 'json' },
        jobs: [
            { name: 'a', exec: ['sh', '-c', 'echo "say \\"hi\\""; echo ü; echo "{\\"user\\":7}"'], logging: { level: 'warn', json: true } },
        ],
    }"#;
    image(&folder.0, &[("short.json5", config)]);
    with_docker(&folder.0, RSYSLOG);
    let out = || read(&folder.0, "out");
    until(|| out().lines().count() >= 3);
    assert_eq!(out(), "a warning stdout  say \"hi\"\na warning stdout  ü\na warning stdout 7 \n");
}
